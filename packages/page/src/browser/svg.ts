const SVG = 'http://www.w3.org/2000/svg';

type Attributes = Readonly<Record<string, string | number>>;

/** Creates a picture that adds nothing to the text beside it, so screen readers skip it. */
export function picture(width: number, height: number, ...shapes: readonly SVGElement[]): SVGElement {
  return hidden({ class: 'picture', viewBox: `0 0 ${width} ${height}`, width, height }, shapes);
}

/** Creates a picture of one path. */
export function drawing(attributes: Attributes, path: Attributes): SVGElement {
  return hidden(attributes, [shape('path', path)]);
}

function hidden(attributes: Attributes, shapes: readonly SVGElement[]): SVGElement {
  const svg = shape('svg', { ...attributes, 'aria-hidden': 'true' });
  svg.append(...shapes);
  return svg;
}

export function shape(tag: 'svg' | 'path' | 'circle' | 'rect', attributes: Attributes): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
