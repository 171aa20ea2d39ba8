import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { readYaml } from './read-yaml.js';
import { fill, type View as Text } from './text.js';

export interface Picture {
  /** Suffix of the file's name, after that of the study. */
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly spec: TopLevelSpec;
}

type Rows = readonly Readonly<Record<string, unknown>>[];

/** A chart in studies/NAME/pictures.yaml. */
interface Described {
  readonly title: string;
  /** Lines under the title; `{{name}}` stands for text. */
  readonly caption: readonly string[];
  /** A Vega-Lite specification without the parts that all charts share; `$name` stands for a value. */
  readonly chart: unknown;
}

/** Colours that are safe for colour-blind readers (Okabe and Ito). */
export const COLOURS = {
  black: '#000000',
  blue: '#0072b2',
  green: '#009e73',
  orange: '#e69f00',
  purple: '#cc79a7',
  sky: '#56b4e9',
  vermilion: '#d55e00',
  yellow: '#f0e442',
} as const;

const STYLE = {
  font: 'DejaVu Sans, Verdana, sans-serif',
  title: { fontSize: 15, subtitleFontSize: 11, subtitleColor: '#444444', subtitlePadding: 6 },
  axis: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: 'normal', labelLimit: 220 },
  header: { labelFontSize: 12, labelFontWeight: 'bold', title: null },
  legend: {
    symbolType: 'stroke',
    symbolStrokeWidth: 2,
    labelFontSize: 11,
    titleFontSize: 11,
    labelLimit: 240,
  },
  view: { stroke: '#cccccc' },
};

/**
 * Loads the pictures that a study describes in its pictures.yaml.
 *
 * @returns function of the picture's name, its rows, the values of `$name` besides the colours, and the text
 *   of its caption; null without rows
 */
export function picturesOf(study: string) {
  const described = readYaml<Readonly<Record<string, Described>>>(`${study}/pictures.yaml`);
  return (
    name: string,
    rows: Rows,
    values: Readonly<Record<string, unknown>> = {},
    text: Text = {},
  ): Picture | null => {
    if (rows.length === 0) return null;
    const { title, caption, chart } = described[name]!;
    const lines = caption.map((line) => fill(line, text).trimEnd()).filter((line) => line !== '');
    const spec = {
      $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
      background: 'white',
      padding: 12,
      title: { text: title, subtitle: lines, anchor: 'start', offset: 14 },
      data: { values: rows },
      config: STYLE,
      ...(insert(chart, { ...COLOURS, ...values }) as object),
    } as TopLevelSpec;
    return { name, title, caption: lines.join(' '), spec };
  };
}

/** Replaces each `$name` by its value; null values are removed from lists. */
function insert(part: unknown, values: Readonly<Record<string, unknown>>): unknown {
  if (typeof part === 'string' && part.startsWith('$')) {
    if (!(part.slice(1) in values)) throw new Error(`a picture has ${part}, for which there is no value`);
    return values[part.slice(1)];
  }
  if (Array.isArray(part)) return part.map((each) => insert(each, values)).filter((each) => each !== null);
  if (typeof part !== 'object' || part === null) return part;
  return Object.fromEntries(Object.entries(part).map(([key, each]) => [key, insert(each, values)]));
}

/** Draws a chart as SVG text, without a browser or a canvas. */
export async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}
