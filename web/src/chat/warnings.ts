/* Warnings come as "slug" or "slug: detail"; known ones are said in the person's language. */
import { isKey, t } from "../lib/i18n/index.svelte";

export function warningText(warning: string): string {
	const [slug = "", ...rest] = warning.split(":");
	const key = `warning.${slug.trim()}`;
	if (!isKey(key)) return warning;
	const detail = rest.join(":").trim();
	return detail ? `${t(key)} (${detail})` : t(key);
}
