/* Repeats the rules of :root[data-theme="dark"] for people whose system is dark and who chose
 * nothing, so that the values stand in the source only once. */
import type { AcceptedPlugin, Rule } from "postcss";

export function darkForSystem(): AcceptedPlugin {
	return {
		postcssPlugin: "tresor-dark-for-system",
		Once(root, { AtRule }) {
			const found: Rule[] = [];
			root.walkRules(/^:root\[data-theme="dark"\]/, (rule) => void found.push(rule));
			for (const rule of found) {
				const media = new AtRule({ name: "media", params: "(prefers-color-scheme: dark)" });
				media.append(rule.clone({ selector: rule.selector.replace(':root[data-theme="dark"]', ":root:not([data-theme])") }));
				rule.after(media);
			}
		},
	};
}
