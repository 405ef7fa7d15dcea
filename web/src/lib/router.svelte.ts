/* Addresses of the page. One place that knows them; `go` and plain links both end here. */
export type Route =
	| { page: "chat"; id: string | null; message: string } /* message: shown at once; empty for the last */
	| { page: "settings"; tab: "profile" | "keys" }
	| { page: "models"; tab: ModelsTab; alias: string; trial: string } /* alias, trial: empty for none */
	| { page: "admin"; tab: AdminTab }
	| { page: "link"; token: string };
export const MODELS_TABS = ["here", "get", "aliases", "compare"] as const;
export type ModelsTab = (typeof MODELS_TABS)[number];
export const ADMIN_TABS = ["load", "people", "network", "audit", "system"] as const;
export type AdminTab = (typeof ADMIN_TABS)[number];

export function parseRoute(path: string, hash: string): Route {
	const link = /^#\/link\/([\w.~-]+)$/.exec(hash);
	if (link?.[1]) return { page: "link", token: link[1] };
	const parts = path.split("/").filter(Boolean);
	if (parts[0] === "c" && parts[1]) return { page: "chat", id: decodeURIComponent(parts[1]), message: /^#m-(\w+)$/.exec(hash)?.[1] ?? "" };
	if (parts[0] === "settings") return { page: "settings", tab: parts[1] === "keys" ? "keys" : "profile" };
	if (parts[0] === "models" || (parts[0] === "admin" && parts[1] === "models")) {
		const [tab, alias = "", trial = ""] = parts.slice(parts[0] === "models" ? 1 : 2);
		return { page: "models", tab: MODELS_TABS.find((x) => x === tab) ?? "here", alias, trial };
	}
	if (parts[0] === "admin") return { page: "admin", tab: ADMIN_TABS.find((x) => x === parts[1]) ?? "load" };
	return { page: "chat", id: null, message: "" };
}

class Router {
	route = $state.raw<Route>(parseRoute(location.pathname, location.hash));

	constructor() {
		const read = () => {
			this.route = parseRoute(location.pathname, location.hash);
		};
		addEventListener("popstate", read);
		addEventListener("hashchange", read);
		document.addEventListener("click", (e) => this.#click(e));
	}

	go(path: string, replace = false): void {
		if (path === location.pathname + location.hash) return;
		if (replace) history.replaceState(null, "", path);
		else history.pushState(null, "", path);
		this.route = parseRoute(location.pathname, location.hash);
	}

	/* Links inside the page need no handler of their own. */
	#click(e: MouseEvent): void {
		if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
		const link = e.target instanceof Element ? e.target.closest("a") : null;
		if (!link || link.target !== "" || link.origin !== location.origin || link.hasAttribute("download")) return;
		if (link.hash !== "" && link.pathname === location.pathname) return;
		e.preventDefault();
		this.go(link.pathname + link.hash);
	}
}

export const router = new Router();
