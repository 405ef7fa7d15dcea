/* Links in answers lead out of the house: the person sees the host before anything opens. */
import { safeAddress } from "../core/address";
import { ui } from "./state/ui.svelte";

export function openForeignLinks(e: MouseEvent): void {
	const link = e.target instanceof Element ? e.target.closest<HTMLAnchorElement>("a[target=_blank]") : null;
	if (!link || link.dataset["open"] !== undefined) return;
	e.preventDefault();
	e.stopPropagation();
	ui.link = safeAddress(link.href);
}
