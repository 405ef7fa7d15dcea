/* What is said of a loaded model, on every page the same. */
import { dateTime, number, timeOnly } from "../core/format";
import type { FleetModel } from "../gen/api";
import { isKey, locale, t } from "../lib/i18n/index.svelte";

const CLASSES = ["interactive", "workflow", "batch"] as const;
type Which = "running" | "waiting";

export function until(m: FleetModel): string {
	if (m.pinned) return t("load.pinned.always");
	if (m.expires_ms < 0) return t("load.until.never");
	const left = Math.max(0, Math.round((m.expires_ms - Date.now()) / 1000));
	return left < 90 ? t("load.until.seconds", { n: left }) : t("load.until.minutes", { n: Math.round(left / 60) });
}
export function classes(m: FleetModel, which: Which): string {
	return CLASSES.filter((c) => m[which][c] > 0).map((c) => `${number(m[which][c], locale.language)} ${t(`load.class.${c}`)}`).join(", ");
}
export function asking(m: FleetModel, which: Which): number {
	return CLASSES.reduce((n, c) => n + m[which][c], 0);
}
export function memoryOf(m: FleetModel): number {
	return m.resident_bytes || m.model_bytes + m.kv_bytes;
}
/* "4 min", "1 h 20 min": about as exact as a guess is. */
export function lasting(seconds: number): string {
	const s = Math.max(1, Math.round(seconds));
	if (s < 90) return t("time.seconds", { n: s });
	const m = Math.round(s / 60);
	if (m < 90) return t("time.minutes", { n: m });
	return t("time.hours", { h: Math.floor(m / 60), m: m % 60 });
}
/* What a model can do; a word that the page does not know is shown as it is. */
export function can(capability: string): string {
	const key = `can.${capability}`;
	return isKey(key) ? t(key) : capability;
}
/* The time alone, as long as it was today. */
export function when(ms: number): string {
	const today = new Date(ms).toDateString() === new Date().toDateString();
	return today ? timeOnly(ms, locale.language) : dateTime(ms, locale.language);
}
