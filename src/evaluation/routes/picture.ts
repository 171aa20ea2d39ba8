import { KNOWN, type LayerRoutes } from './report.js';

const WIDTH = 900;
const ROW = 20;
const LABELS = 150;
const BARS = 210;
/** Left edge of the experts. */
const EXPERTS = 470;
const EXPERT_LABELS = 40;
const EXPERT_BARS = WIDTH - EXPERTS - EXPERT_LABELS - 70;
const FACTS = '#5b6770';
/** Colours for up to eight domains that remain distinct under colour blindness (Okabe and Ito). */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#999999'];

/** Draws the shares that facts predict, and the load of each expert by domain, as an SVG with a band for each layer. */
export function drawRoutes(layers: readonly LayerRoutes[]): string {
  const domains = [
    ...new Set(layers.flatMap(({ experts }) => experts.flatMap((e) => Object.keys(e.domains)))),
  ];
  const parts: string[] = [];
  let y = 64;
  for (const layer of layers) {
    parts.push(`<g transform="translate(20 ${y})">${drawLayer(layer, domains)}</g>`);
    y += 34 + ROW * Math.max(KNOWN.length + 1, layer.experts.length) + 24;
  }
  const legend = domains.map((domain, i) => {
    const x = 20 + EXPERTS + 80 + 84 * (i % 4);
    const top = 22 + 16 * Math.floor(i / 4);
    return `${box(x, top, 10, 10, colourOf(i))}${text(x + 15, top + 9, domain)}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH + 40}" height="${y}" viewBox="0 0 ${WIDTH + 40} ${y}" font-family="system-ui, sans-serif" font-size="12" fill="#222">
<title>What decides the choices of the router</title>
<rect width="100%" height="100%" fill="#fff"/>
${text(20, 26, 'Share of held-out choices that is predicted by', 'font-weight="600"')}
${text(20, 42, 'lines: 95 % intervals', 'fill="#666"')}
${text(20 + EXPERTS, 31, 'Choices', 'font-weight="600"')}
${legend.join('\n')}
${parts.join('\n')}
</svg>
`;
}

function drawLayer(
  { layer, choices, kept, predicted, shuffled, experts }: LayerRoutes,
  domains: readonly string[],
): string {
  const rows = KNOWN.map((known) => ({
    name: known as string,
    ...predicted.expert[known],
    colour: FACTS,
  }));
  rows.push({ name: 'experts shuffled', share: shuffled, error: 0, coverage: 1, colour: '#bbb' });
  const facts = rows.map(({ name, share, error, colour }, i) => {
    const y = 30 + i * ROW;
    const line = error > 0 ? drawInterval(share, error, y + 7) : '';
    return `${text(LABELS - 8, y + 11, name, 'text-anchor="end"')}${box(LABELS, y, BARS * (share || 0), 14, colour)}${line}${text(LABELS + BARS + 12, y + 11, percent(share))}`;
  });
  const most = Math.max(...experts.map((expert) => expert.choices));
  const loads = experts.map((expert, i) => {
    const y = 30 + i * ROW;
    let x = EXPERTS + EXPERT_LABELS;
    const stacked = domains.map((domain, d) => {
      const width = (EXPERT_BARS * (expert.domains[domain] ?? 0)) / most;
      x += width;
      return box(x - width, y, width, 14, colourOf(d));
    });
    const share = text(x + 6, y + 11, percent(expert.choices / choices));
    return `${text(EXPERTS + EXPERT_LABELS - 8, y + 11, `e${expert.expert}`, 'text-anchor="end"')}${stacked.join('')}${share}`;
  });
  const title = `layer ${layer}: ${choices.toLocaleString('en')} choices, ${percent(kept / choices)} kept`;
  return [text(0, 16, title, 'font-weight="600"'), ...facts, ...loads].join('\n');
}

function drawInterval(share: number, error: number, y: number): string {
  const at = (value: number) => (LABELS + BARS * Math.min(1, Math.max(0, value))).toFixed(1);
  return `<path d="M${at(share - error)} ${y}H${at(share + error)}" stroke="#222" stroke-width="1.5"/>`;
}

function box(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${height}" fill="${colour}"/>`;
}

function text(x: number, y: number, words: string, attributes = ''): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped}</text>`;
}

function colourOf(domain: number): string {
  return COLOURS[domain % COLOURS.length]!;
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)} %`;
}
