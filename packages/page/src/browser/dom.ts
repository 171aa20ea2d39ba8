import { drawing } from './svg.js';

/** A child of an element. Strings become text nodes, never HTML. */
export type Child = Node | string | null | undefined | false;

/** Attributes of an element: false, null and undefined omit one; true sets it to the empty string. */
export interface Props {
  readonly class?: string;
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
  /** CSS properties, set by script because the content security policy forbids the attribute. */
  readonly style?: Readonly<Record<string, string>>;
  readonly [attribute: string]: unknown;
}

type Tags = {
  readonly [K in keyof HTMLElementTagNameMap]: (
    propsOrChild?: Props | Child,
    ...children: readonly Child[]
  ) => HTMLElementTagNameMap[K];
};

/** Creates an element (hyperscript): `h.p({ class: 'hint' }, 'text')`; the attributes may be left out. */
export const h = new Proxy({} as Tags, {
  get:
    (_, tag: string) =>
    (...[first, ...children]: readonly (Props | Child)[]) => {
      const element = document.createElement(tag);
      const hasProps = typeof first === 'object' && first !== null && !(first instanceof Node);
      if (hasProps) setProps(element, first);
      fill(element, ...((hasProps ? children : [first, ...children]) as Child[]));
      return element;
    },
});

function setProps(element: HTMLElement, { on = {}, style = {}, ...attributes }: Props): void {
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false && value != null) element.setAttribute(name, value === true ? '' : String(value));
}

/**
 * Replaces all children. If a child with a `data-` attribute has the focus, its successor with the same
 * attribute gets it.
 */
export function fill(element: Element, ...children: readonly Child[]): void {
  const { activeElement: active } = document;
  const [mark] =
    active instanceof HTMLElement && element.contains(active) ? Object.entries(active.dataset) : [];
  element.replaceChildren(...children.filter((child) => child != null && child !== false));
  if (mark) element.querySelector<HTMLElement>(`[data-${mark[0]}="${CSS.escape(mark[1] ?? '')}"]`)?.focus();
}

const keys = new WeakMap<Element, string>();

/** Fills an element only if `shown` has changed, so that selections and open menus in it persist. */
export function refill(element: Element, shown: unknown, children: () => readonly Child[]): void {
  const key = JSON.stringify(shown);
  if (keys.get(element) === key) return;
  keys.set(element, key);
  fill(element, ...children());
}

/**
 * Wraps wide content, such as a table, so that the keyboard can scroll it.
 *
 * @param label its accessible name
 */
export function scrollable(label: string, content: HTMLElement): HTMLElement {
  return h.div({ class: 'scrolls', tabindex: '0', role: 'group', 'aria-label': label }, content);
}

/** Creates a table with a row of column names; strings become cells. */
export function table(
  columns: readonly (HTMLTableCellElement | string)[],
  rows: readonly HTMLElement[],
): HTMLTableElement {
  const head = columns.map((name) => (typeof name === 'string' ? h.th({ scope: 'col' }, name) : name));
  return h.table(h.thead(h.tr(...head)), h.tbody(...rows));
}

/** Creates a row of a table: its name, then its cells; strings become cells. */
export function row(
  props: Props,
  name: Child,
  ...cells: readonly (HTMLTableCellElement | string)[]
): HTMLElement {
  const made = cells.map((cell) => (typeof cell === 'string' ? h.td(cell) : cell));
  return h.tr(props, h.th({ scope: 'row' }, name), ...made);
}

export function numberCell(text: string): HTMLTableCellElement {
  return h.td({ class: 'number' }, text);
}

/** Creates the head of a card. @param about a few words beside the title */
export function heading(title: string, about: Child = null, ...tools: readonly Child[]): HTMLElement {
  const small = typeof about === 'string' ? h.small(about) : about;
  return h.header(h.h2(title, small && ' ', small), ...tools);
}

/** Creates an entry of a legend. @param kind `block` or `mark` */
export function legendEntry(color: string, text: string, kind = 'block'): HTMLElement {
  return h.span({ class: 'entry' }, swatch(color, kind), text);
}

export function swatch(color: string, kind = 'block'): HTMLElement {
  return h.i({ class: kind, style: { '--color': color } });
}

/** Creates a selection list of values, each shown as its text. */
export function picker<V extends string>(
  label: string,
  texts: Readonly<Record<V, string>>,
  onChoose: (value: V) => void,
): HTMLSelectElement {
  const options = Object.entries<string>(texts).map(([value, text]) => h.option({ value }, text));
  const on = { change: () => onChoose(select.value as V) };
  const select = h.select({ 'aria-label': label, on }, ...options);
  return select;
}

/**
 * Creates a menu below its summary. A click elsewhere closes the menu, as does Escape, which returns the
 * focus to the summary.
 */
export function menu(name: string, summary: HTMLElement, body: HTMLElement): HTMLDetailsElement {
  const made = h.details({ class: `menu ${name}` }, summary, body);
  made.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !made.open) return;
    made.open = false;
    summary.focus();
    event.stopPropagation();
  });
  document.addEventListener('click', (event) => {
    // The path is used because the clicked element may have been replaced by now.
    if (!event.composedPath().includes(made)) made.open = false;
  });
  return made;
}

/** Returns the element with an id. @throws Error if the page's HTML has none */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element;
}

/** Paths on a grid of 16 x 16. */
const ICONS = {
  eye: 'M1.5 8s2.5-4.5 6.5-4.5S14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8Zm6.5 2a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  theme: 'M8 2.5a5.5 5.5 0 1 0 0 11Zm0 0a5.5 5.5 0 0 1 0 11',
  help: 'M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.8.5-1.1.9-1.1 1.7M8 12v.4',
  down: 'm4 6 4 4 4-4',
  right: 'm6 4 4 4-4 4',
  link: 'M6.5 9.5 9.5 6.5M7 5l1.6-1.6a2.8 2.8 0 0 1 4 4L11 9M9 11l-1.6 1.6a2.8 2.8 0 0 1-4-4L5 7',
  play: 'M5 3.5v9l7-4.5Z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  clear: 'm4 4 8 8m0-8-8 8',
  context: 'M2.5 4h11M2.5 12h11M5 8h6',
  enlarge: 'M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5 9 7M2.5 13.5 7 9',
  shrink: 'M13.5 6.5h-4v-4M2.5 9.5h4v4M9.5 6.5 14 2M6.5 9.5 2 14',
  dots: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  history: 'M2.5 8a5.5 5.5 0 1 0 1.8-4.1L2.5 5.5v-3M8 5v3.2l2 1.3',
  copy: 'M5.5 5.5h7v7h-7zM3.5 10.5v-7h7',
} as const;

export type IconName = keyof typeof ICONS;

/** Creates a decorative icon: the element around it carries the label. */
export function icon(name: IconName): SVGElement {
  return drawing({ class: 'icon', viewBox: '0 0 16 16' }, { d: ICONS[name] });
}

/** Creates a button with a text or an icon; an icon needs a `label`. */
export function button(
  content: Child,
  onClick: (event: Event) => void,
  { label, ...props }: { readonly label?: string } & Props = {},
): HTMLButtonElement {
  const on = { click: onClick, ...props.on };
  return h.button({ type: 'button', 'aria-label': label, title: label, ...props, on }, content);
}

/** Offers a file to the user, as a download. */
export function saveFile(name: string, content: Blob): void {
  const href = URL.createObjectURL(content);
  h.a({ href, download: name }).click();
  URL.revokeObjectURL(href);
}
