/* Text to the clipboard; false when the browser refuses. */
export async function copyText(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		return copyByCommand(text); /* no permission or no secure context */
	}
}

function copyByCommand(text: string): boolean {
	const area = document.createElement("textarea");
	area.value = text;
	area.className = "hidden-visually";
	(document.querySelector("dialog[open]") ?? document.body).append(area);
	area.select();
	const ok = document.execCommand("copy");
	area.remove();
	return ok;
}
