/* Small things every view uses: toasts, questions, theme, the drawer. */
import { ApiError } from "../client";
import { errorText, type Key, type Params, t } from "../i18n/index.svelte";

export interface Toast {
	id: number;
	text: string;
	kind: "info" | "error";
	detail: string;
}
export interface Question {
	title: string;
	text: string;
	confirm: string;
	danger: boolean;
	answer: (yes: boolean) => void;
}
export type Theme = "system" | "light" | "dark";

class Ui {
	toasts = $state<Toast[]>([]);
	question = $state<Question | null>(null);
	link = $state<URL | null>(null); /* a foreign address that waits for a yes */
	drawer = $state(false); /* phone: the sidebar is open */
	collapsed = $state(false); /* desktop: the sidebar is closed */
	shortcuts = $state(false);
	search = $state(false);
	now = $state(Date.now()); /* ticks each minute: date headings stay true */
	#nextId = 1;

	constructor() {
		setInterval(() => (this.now = Date.now()), 60_000);
	}

	say(key: Key, params: Params = {}): void {
		this.#add(t(key, params), "info", "");
	}

	/* Shows what went wrong; the request id helps whoever reads the log. `say`: as of explain(). */
	fail(error: unknown, say?: (text: string) => string): void {
		this.#add(explain(error, say), "error", error instanceof ApiError && error.requestId ? error.requestId : "");
	}

	#add(text: string, kind: Toast["kind"], detail: string): void {
		const toast: Toast = { id: this.#nextId++, text, kind, detail };
		this.toasts = [...this.toasts.slice(-3), toast];
		setTimeout(() => this.drop(toast.id), kind === "error" ? 10_000 : 4_000);
	}

	drop(id: number): void {
		this.toasts = this.toasts.filter((x) => x.id !== id);
	}

	ask(q: { title: string; text: string; confirm: string; danger?: boolean }): Promise<boolean> {
		return new Promise((resolve) => {
			this.question = {
				...q,
				danger: q.danger ?? false,
				answer: (yes) => {
					this.question = null;
					resolve(yes);
				},
			};
		});
	}

	setTheme(theme: Theme): void {
		const root = document.documentElement;
		if (theme === "system") delete root.dataset["theme"];
		else root.dataset["theme"] = theme;
		try {
			localStorage.setItem("tresor.theme", theme);
		} catch {
			/* no storage: it lasts as long as the page */
		}
	}
}

/* `say` puts the server's own sentence into the person's language. */
export function explain(error: unknown, say = (text: string) => text): string {
	if (!(error instanceof ApiError)) return t("error.internal");
	const text = errorText(error.slug, error.message);
	/* what the server knows more precisely than its slug, such as both token counts */
	const exact = error.slug === "context_exceeded" || error.slug === "model_unusable" || error.slug === "conflict" || error.slug === "invalid" || error.slug === "egress_refused" || error.slug === "upstream_failed" || error.slug === "exists" || error.slug === "limit" || error.slug === "busy" || error.slug === "too_large" || error.slug === "unsupported" ? say(error.message) : "";
	return exact && exact !== text ? `${text} (${exact})` : text;
}

export const ui = new Ui();
