/* Which addresses a text may link to, and what a person is shown of them. */
export const SCHEMES = /^(?:https?:\/\/|mailto:)/i;

/* The address as the browser will understand it, or null if it may not be followed. */
export function safeAddress(href: string): URL | null {
	if (!SCHEMES.test(href.trim())) return null;
	try {
		const url = new URL(href.trim());
		return url.protocol === "http:" || url.protocol === "https:" || url.protocol === "mailto:" ? url : null;
	} catch {
		return null;
	}
}

/* What to show a person before a link opens: the host as it really is (punycode included). */
export function addressHost(url: URL): string {
	return url.protocol === "mailto:" ? url.pathname : url.host;
}
