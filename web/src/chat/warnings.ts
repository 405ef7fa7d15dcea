/* Warnings come as "slug:number"; known ones are said in the person's language. */
import { isKey, t } from "../lib/i18n/index.svelte";

export function warningText(warning: string): string {
	const [slug = "", n = ""] = warning.split(":");
	const key = `warning.${slug}`;
	return isKey(key) ? t(key, { n: Number(n) || 0 }) : warning;
}
