/** A child of an element. Strings become text nodes, never HTML. */
export type Child = Node | string | null | undefined | false;

export interface Props {
  readonly class?: string;
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
  readonly data?: Readonly<Record<string, string>>;
  /** Attributes; false, null and undefined omit one, true sets it empty. */
  readonly [attribute: string]: unknown;
}

/** Creates an element (hyperscript). */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === 'class') element.className = String(value);
    else if (name === 'on')
      for (const [type, listener] of Object.entries(props.on ?? {})) element.addEventListener(type, listener);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A table, or whatever may be wider than its place: the keyboard scrolls it too. @param label names it */
export function scrollable(label: string, content: HTMLElement): HTMLElement {
  return h('div', { class: 'scrolls', tabindex: '0', role: 'group', 'aria-label': label }, content);
}

/** Replaces all children. */
export function fill(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren(
    ...children.filter((child) => child !== null && child !== undefined && child !== false),
  );
}

/** The element with an id. @throws Error if the page's HTML has none */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

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

/** Decorative: the element around it carries the label. */
export function icon(name: IconName): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a text or an icon; an icon needs a `label`. */
export function button(
  content: Child,
  onClick: (event: Event) => void,
  { label, ...props }: { readonly label?: string } & Props = {},
): HTMLButtonElement {
  return h(
    'button',
    { type: 'button', 'aria-label': label, title: label, ...props, on: { click: onClick, ...props.on } },
    content,
  );
}

/**
 * Clears a canvas and scales it to the screen's resolution; its size in CSS pixels, or null while it is
 * hidden.
 */
export function paintable(
  canvas: HTMLCanvasElement,
): { readonly context: CanvasRenderingContext2D; readonly width: number; readonly height: number } | null {
  const { clientWidth: width, clientHeight: height } = canvas;
  const context = canvas.getContext('2d');
  if (context === null || width === 0 || height === 0) return null;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}
