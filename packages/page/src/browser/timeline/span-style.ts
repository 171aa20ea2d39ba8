import type { TimelineSpan } from '@locmoe/run-format/timeline-data';
import { cssColor } from '../theme.js';

/** The kinds of spans that have a colour of their own, in the order of the legend. */
export const SPAN_CLASSES = [
  ['attention', '--series-0'],
  ['feed-forward', '--series-5'],
  ['gate', '--series-6'],
  ['experts', '--series-2'],
  ['all-to-all', '--series-1'],
  ['all-gather', '--series-3'],
  ['all-reduce', '--series-4'],
  ['other', '--series-7'],
] as const;
export type SpanClass = (typeof SPAN_CLASSES)[number][0];

const CLASS_OF_NAME: Readonly<Record<string, SpanClass>> = {
  attention: 'attention',
  'query attention': 'attention',
  'feed-forward': 'feed-forward',
  'query feed-forward': 'feed-forward',
  gate: 'gate',
  experts: 'experts',
};

/** Parts that contain others. */
const PHASES = [
  'step',
  'forward',
  'backward',
  'reduce',
  'optimizer',
  'validation',
  'probe',
  'checkpoint',
  'snapshot',
];

export function isPhase({ kind, name }: TimelineSpan): boolean {
  return kind === 'part' && PHASES.includes(name);
}

function classOf({ kind, name }: TimelineSpan): SpanClass {
  const wanted = kind === 'part' ? CLASS_OF_NAME[name] : kind;
  return SPAN_CLASSES.find(([known]) => known === wanted)?.[0] ?? 'other';
}

export function colorOf(span: TimelineSpan): string {
  if (isPhase(span)) return cssColor('--activity-working');
  const spanClass = classOf(span);
  return cssColor(SPAN_CLASSES.find(([name]) => name === spanClass)![1]);
}

/** Returns black or white, whichever is easier to read on a colour `#rrggbb`. */
export function inkOn(color: string): string {
  const part = (at: number) => Number.parseInt(color.slice(at, at + 2), 16) / 255;
  return 0.299 * part(1) + 0.587 * part(3) + 0.114 * part(5) > 0.55 ? '#14171b' : '#ffffff';
}

/** Names a span as "all-to-all dispatch, layer 3". */
export function nameOf({ kind, name, layer, step }: TimelineSpan): string {
  const what = kind === 'part' ? (name === 'step' ? `step ${step}` : name) : `${kind} ${name}`;
  return layer === undefined ? what : `${what}, layer ${layer}`;
}

/** Returns labels for a bar, longest first; the first one that fits is drawn. */
export function labelsOf({ kind, name, layer, step }: TimelineSpan): string[] {
  const of = layer === undefined ? '' : ` ${layer}`;
  if (kind === 'part') return name === 'step' ? [`step ${step}`] : [`${name}${of}`, name];
  return [`${kind} ${name}${of}`, `${name}${of}`, name];
}

/** Formats a duration: 0.012 ms, 3.4 ms, 120 ms, 2.35 s. */
export function formatSpanMs(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 1 ? 1 : 3)} ms`;
}
