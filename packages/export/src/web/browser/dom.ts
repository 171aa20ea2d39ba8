export type Child = Node | string;

/**
 * Creates an element (hyperscript). Strings become text nodes, never HTML; an empty attribute is omitted. A
 * style is set as a property, which is the only way under policies that forbid inline styles.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name === 'style') element.style.cssText = value;
    else if (value !== '') element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Returns the element with an id. @throws Error if the page's HTML has none of this kind */
export function byId<E extends HTMLElement>(id: string, kind: new () => E): E {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`no element #${id}`);
  return element;
}

/** Formats 0.254 as "25 %". */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
