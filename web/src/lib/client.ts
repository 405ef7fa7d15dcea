/* The one way from the page to the server: typed by the generated table of routes. */
import { type Calls, routes, type Slug } from "../gen/api";

export class ApiError extends globalThis.Error {
	constructor(
		readonly slug: Slug | "offline",
		readonly status: number,
		message: string,
		readonly hint = "",
		readonly requestId = "",
	) {
		super(message);
	}
}

type Args<K extends keyof Calls> = (Calls[K]["params"] extends undefined ? { params?: undefined } : { params: Calls[K]["params"] }) &
	(Calls[K]["body"] extends undefined ? { body?: undefined } : { body: Calls[K]["body"] }) & {
		query?: Record<string, string | number>;
		signal?: AbortSignal;
	};
type Optional<K extends keyof Calls> = Calls[K]["params"] extends undefined ? (Calls[K]["body"] extends undefined ? [Args<K>?] : [Args<K>]) : [Args<K>];

let csrf = "";
let onLoggedOut: () => void = () => {};

export function setCsrf(token: string): void {
	csrf = token;
}
export function whenLoggedOut(f: () => void): void {
	onLoggedOut = f;
}

export function address(path: string, params: Record<string, string> | undefined, query?: Record<string, string | number>): string {
	const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params?.[name] ?? ""));
	if (!query || Object.keys(query).length === 0) return filled;
	return `${filled}?${new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)]))}`;
}

export async function call<K extends keyof Calls>(name: K, ...[args]: Optional<K>): Promise<Calls[K]["reply"]> {
	const route = routes[name];
	const headers: Record<string, string> = { Accept: "application/json" };
	if (args?.body !== undefined) headers["Content-Type"] = "application/json";
	if (route.changes) headers["X-Tresor-CSRF"] = csrf;
	let reply: Response;
	try {
		reply = await fetch(address(route.path, args?.params as Record<string, string> | undefined, args?.query), {
			method: route.method,
			headers,
			credentials: "same-origin",
			cache: "no-store",
			...(args?.body !== undefined ? { body: JSON.stringify(args.body) } : {}),
			...(args?.signal ? { signal: args.signal } : {}),
		});
	} catch {
		throw new ApiError("offline", 0, "offline");
	}
	const text = await reply.text().catch(() => "");
	if (!reply.ok) throw failure(reply.status, text);
	return (text === "" ? undefined : JSON.parse(text)) as Calls[K]["reply"];
}

function failure(status: number, text: string): ApiError {
	let slug: Slug = "internal";
	let message = text.slice(0, 200);
	let hint = "";
	let id = "";
	try {
		const e = (JSON.parse(text) as { error?: { slug?: Slug; message?: string; hint?: string; request_id?: string } }).error;
		if (e?.slug) ({ slug, message = "", hint = "", request_id: id = "" } = e as Required<typeof e>);
	} catch {
		/* not our JSON (a proxy's page): the status has to do */
	}
	if (status === 401 && slug === "login_required") onLoggedOut();
	return new ApiError(slug, status, message ?? "", hint ?? "", id ?? "");
}
