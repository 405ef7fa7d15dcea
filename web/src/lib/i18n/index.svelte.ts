/* Texts of the page. Keys and languages are typed; German texts that speak to a person have two
 * forms. `{name}` is filled in; `{n:one|other}` chooses by the number n. Switching needs no reload;
 * each language is a file of its own, which comes when it is wanted. */
import type { Slug } from "../../gen/api";
import type { en } from "./en";

export type Language = "de" | "en";
export type Address = "sie" | "du";
export type Key = keyof typeof en;
export type Text = string | { sie: string; du: string };
export type Params = Record<string, string | number>;

const texts: Partial<Record<Language, Record<Key, Text>>> = {};

/* Before the first t() of a language. Never fails for one that is here. */
export async function loadLanguage(language: Language): Promise<void> {
	texts[language] ??= language === "de" ? (await import("./de")).de : (await import("./en")).en;
}

export const locale = $state<{ language: Language; address: Address }>({ language: "en", address: "sie" });

export function pick(text: Text, address: Address): string {
	return typeof text === "string" ? text : text[address];
}

export function fill(text: string, params: Params): string {
	return text.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (whole, name: string, one?: string, other?: string) => {
		const value = params[name];
		if (value === undefined) return whole;
		if (one !== undefined && other !== undefined) return value === 1 ? one : other;
		return String(value);
	});
}

export function translate(language: Language, address: Address, key: Key, params: Params = {}): string {
	const text = (texts[language] ?? texts.en ?? texts.de)?.[key];
	return text === undefined ? key : fill(pick(text, address), params);
}

export function t(key: Key, params: Params = {}): string {
	return translate(locale.language, locale.address, key, params);
}

export function isKey(key: string): key is Key {
	return Object.prototype.hasOwnProperty.call(texts[locale.language] ?? {}, key);
}

/* What a person reads for an error: the slug decides, the server's text is the last resort. */
export function errorText(slug: Slug | string, fallback: string): string {
	const key = `error.${slug}`;
	return isKey(key) ? t(key) : fallback;
}

let wanted: Language | undefined; /* the last one asked for: an older one that comes late is not shown */

export function setLocale(language: Language, address: Address): void {
	wanted = language;
	if (!texts[language]) {
		void loadLanguage(language).then(() => wanted === language && setLocale(language, address)).catch(() => {}); /* the old one stays */
		return;
	}
	locale.language = language;
	locale.address = address;
	document.documentElement.lang = language;
	try {
		localStorage.setItem("tresor.language", language);
	} catch {
		/* private mode without storage: the choice lasts as long as the page */
	}
}

/* Before anyone logged in: what this browser used last, else what it prefers. */
export function guessLanguage(): Language {
	const saved = document.documentElement.dataset["language"] ?? safeGet("tresor.language");
	if (saved === "de" || saved === "en") return saved;
	return navigator.language.toLowerCase().startsWith("de") ? "de" : "en";
}

function safeGet(key: string): string | null {
	try {
		return localStorage.getItem(key);
	} catch {
		return null;
	}
}
