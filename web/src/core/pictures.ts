/* Pictures that go with a question. One that is on its way is a `data:` address; one that a message
 * has already is named MESSAGE/PLACE, as the server names it. What the server takes is decided
 * there; here a person only hears of it before anything is sent. Pure. */
import type { Message } from "../gen/api";

export const PICTURES_MAX = 16;
export const PICTURES_MIB = 12; /* of one message, together */
export const PICTURE_TYPES: readonly string[] = ["image/png", "image/jpeg", "image/webp"];

export interface Attached {
	ref: string; /* "data:..", or MESSAGE/PLACE */
	bytes: number; /* 0 for one that the server has */
}
export type Refusal = "kind" | "many" | "large";

/* May this file come to those? Null: it may. */
export function refusal(have: readonly Attached[], file: { type: string; size: number }): Refusal | null {
	if (!PICTURE_TYPES.includes(file.type)) return "kind";
	if (have.length >= PICTURES_MAX) return "many";
	const sum = have.reduce((n, p) => n + p.bytes, file.size);
	return sum > PICTURES_MIB * 1024 * 1024 ? "large" : null;
}

/* Where a picture can be looked at. */
export function source(ref: string): string {
	if (ref.startsWith("data:")) return ref;
	const [message = "", place = ""] = ref.split("/");
	return `/team/v1/messages/${encodeURIComponent(message)}/pictures/${encodeURIComponent(place)}`;
}

/* What a message shows, to be shown or sent again. */
export function picturesOf(message: Message): Attached[] {
	return (message.pictures ?? []).map((p) => ({ ref: `${message.id}/${p.place}`, bytes: 0 }));
}

/* Files that were pasted or dropped. Programs that copy text often put a picture of it beside: then
 * the text was meant. */
export function filesOf(data: DataTransfer | null): File[] {
	if (!data || data.types.includes("text/plain")) return [];
	return [...data.files];
}

export function readFile(file: Blob): Promise<Attached> {
	return new Promise((ok, no) => {
		const r = new FileReader();
		r.onload = () => ok({ ref: String(r.result), bytes: file.size });
		r.onerror = () => no(r.error ?? new Error("unreadable"));
		r.readAsDataURL(file);
	});
}
