/* The renderer of answers is a third of the page: it comes after the first paint, once someone is in. */
let loading: Promise<typeof import("../core/view")> | undefined;

export function renderer(): Promise<typeof import("../core/view")> {
	loading ??= import("../core/view");
	return loading;
}
