/* One block of Markdown to safe DOM nodes.
 *
 * Two walls: the renderer never lets HTML of the text through (it is shown as text), and DOMPurify
 * with a tight list checks what came out. Remote pictures are never loaded: a request to a foreign
 * host could carry away what the chat contains. */
import createDOMPurify from "dompurify";
import { Marked, type Tokens } from "marked";
import { addressHost, safeAddress, SCHEMES } from "./address";

const TAGS = ["p", "br", "strong", "em", "del", "code", "pre", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "table", "thead", "tbody", "tr", "th", "td", "a", "span", "div"];
const ATTRIBUTES = ["href", "start", "align", "class"];
const CLASSES = new Set(["table-wrap", "image-off", "task", "task-done"]);

export function escapeHtml(text: string): string {
	return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const marked = new Marked({ gfm: true, breaks: true, async: false });
marked.use({
	renderer: {
		html({ text }: Tokens.HTML | Tokens.Tag): string {
			return /^<br\s*\/?>\s*$/i.test(text) ? "<br>" : escapeHtml(text);
		},
		heading({ tokens, depth }: Tokens.Heading): string {
			const level = Math.min(depth + 2, 6); /* h1 and h2 belong to the page */
			return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
		},
		code({ text }: Tokens.Code): string {
			return `<pre><code>${escapeHtml(text)}\n</code></pre>`;
		},
		link({ href, tokens }: Tokens.Link): string {
			const inside = this.parser.parseInline(tokens);
			const url = safeAddress(href);
			return url ? `<a href="${escapeHtml(url.href)}">${inside}</a>` : inside;
		},
		image({ href, text }: Tokens.Image): string {
			const url = safeAddress(href);
			const label = escapeHtml(text || (url ? addressHost(url) : href.slice(0, 80)));
			return url ? `<a class="image-off" href="${escapeHtml(url.href)}">${label}</a>` : `<span class="image-off">${label}</span>`;
		},
		checkbox({ checked }: Tokens.Checkbox): string {
			return `<span class="task${checked ? " task-done" : ""}">${checked ? "☑" : "☐"}</span> `;
		},
		table(token: Tokens.Table): string {
			const row = (cells: Tokens.TableCell[], tag: "th" | "td") =>
				`<tr>${cells.map((c) => `<${tag}${c.align ? ` align="${c.align}"` : ""}>${this.parser.parseInline(c.tokens)}</${tag}>`).join("")}</tr>`;
			return `<div class="table-wrap"><table><thead>${row(token.header, "th")}</thead><tbody>${token.rows.map((r) => row(r, "td")).join("")}</tbody></table></div>`;
		},
	},
});

const purify = createDOMPurify(window);
purify.addHook("uponSanitizeAttribute", (_node, data) => {
	if (data.attrName === "class") {
		data.attrValue = data.attrValue.split(/\s+/).filter((c) => CLASSES.has(c)).join(" ");
		if (data.attrValue === "") data.keepAttr = false;
	}
	if (data.attrName === "align" && !/^(left|right|center)$/.test(data.attrValue)) data.keepAttr = false;
	if (data.attrName === "start" && !/^\d{1,9}$/.test(data.attrValue)) data.keepAttr = false;
});
purify.addHook("afterSanitizeAttributes", (node) => {
	if (node.nodeName !== "A") return;
	const url = safeAddress(node.getAttribute("href") ?? "");
	if (!url) {
		node.removeAttribute("href");
		return;
	}
	node.setAttribute("target", "_blank");
	node.setAttribute("rel", "noopener noreferrer nofollow");
	node.setAttribute("title", addressHost(url));
});

export function sanitise(html: string): DocumentFragment {
	return purify.sanitize(html, {
		ALLOWED_TAGS: TAGS,
		ALLOWED_ATTR: ATTRIBUTES,
		ADD_URI_SAFE_ATTR: ["start", "align"], /* not addresses: the pattern below is not for them */
		ALLOW_DATA_ATTR: false,
		ALLOW_ARIA_ATTR: false,
		ALLOWED_URI_REGEXP: SCHEMES,
		KEEP_CONTENT: true,
		RETURN_DOM_FRAGMENT: true,
	});
}

export function renderMarkdown(source: string): DocumentFragment {
	return sanitise(marked.parse(source) as string);
}
