/* A small colouring for code: strings, comments, numbers, words that many languages reserve. It
 * knows no grammar, so it is fast, never wrong enough to confuse, and one page long. */

export type Shade = "comment" | "string" | "number" | "keyword" | "name" | "";
export interface Piece {
	shade: Shade;
	text: string;
}

const WORDS = new Set(
	("abstract and any as assert async auto await begin bool boolean break byte case catch char class const constexpr continue crate declare def default defer del delete do double done echo elif else elsif end enum esac except export extends extern false fi final finally float fn for foreach from func function global go goto if impl implements import in include inline int interface is lambda let local long loop match mod module mut namespace new nil None not null nullptr of operator or override package pass private protected pub public raise readonly ref return self Self short signed sizeof static string struct super switch template then this throw throws trait true True False try type typedef typeof union unless unsafe unsigned until use using var virtual void volatile when where while with yield " +
		"select insert update create table into values join left right inner outer on group by order having limit set primary key foreign references index view alter drop").split(" "),
);
const HASH_COMMENT = new Set(["python", "py", "sh", "bash", "zsh", "shell", "ruby", "rb", "yaml", "yml", "toml", "ini", "conf", "make", "makefile", "dockerfile", "r", "perl", "powershell", "ps1", "elixir", "nginx"]);
const DASH_COMMENT = new Set(["sql", "lua", "haskell", "hs", "ada"]);
const PLAIN = new Set(["", "text", "txt", "plain", "plaintext", "output", "console", "log", "markdown", "md", "csv", "diff"]);

function comment(lang: string): string {
	if (HASH_COMMENT.has(lang)) return "#[^\\n]*";
	if (DASH_COMMENT.has(lang)) return "--[^\\n]*|/\\*[\\s\\S]*?\\*/";
	if (lang === "html" || lang === "xml" || lang === "svg") return "<!--[\\s\\S]*?-->";
	if (lang === "json") return "(?!)";
	return "//[^\\n]*|/\\*[\\s\\S]*?\\*/";
}

export function highlight(code: string, language: string): Piece[] {
	const lang = language.toLowerCase();
	if (PLAIN.has(lang)) return [{ shade: "", text: code }];
	const rule = new RegExp(
		`(${comment(lang)})|("""[\\s\\S]*?"""|"(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\\\\\n]|\\\\.)*'|\`(?:[^\`\\\\]|\\\\.)*\`)|(\\b\\d[\\w.]*)|([A-Za-z_$][\\w$]*)(?=(\\s*\\()?)`,
		"g",
	);
	const insensitive = lang === "sql";
	const out: Piece[] = [];
	let plain = "";
	let at = 0;
	const put = (shade: Shade, text: string) => {
		if (plain !== "") out.push({ shade: "", text: plain });
		plain = "";
		out.push({ shade, text });
	};
	for (const m of code.matchAll(rule)) {
		plain += code.slice(at, m.index);
		at = m.index + m[0].length;
		if (m[1] !== undefined) put("comment", m[1]);
		else if (m[2] !== undefined) put("string", m[2]);
		else if (m[3] !== undefined) put("number", m[3]);
		else if (m[4] !== undefined && WORDS.has(insensitive ? m[4].toLowerCase() : m[4])) put("keyword", m[4]);
		else if (m[4] !== undefined && m[5] !== undefined) put("name", m[4]);
		else plain += m[0];
	}
	plain += code.slice(at);
	if (plain !== "") out.push({ shade: "", text: plain });
	return out;
}
