const SVG = 'http://www.w3.org/2000/svg';

/** Creates a picture that adds nothing to the text beside it, so screen readers skip it. */
export function picture(width: number, height: number, ...shapes: readonly SVGElement[]): SVGElement {
  const all = { class: 'picture', viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true' };
  const svg = shape('svg', all);
  svg.append(...shapes);
  return svg;
}

export function shape(
  tag: 'svg' | 'path' | 'circle' | 'rect',
  attributes: Readonly<Record<string, string | number>>,
): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
