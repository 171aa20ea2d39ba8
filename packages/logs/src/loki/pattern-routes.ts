import type { Hono } from 'hono';
import { DETECTED_LEVEL } from '../logql/detected-level.js';
import { type LogEngine, QUERY_LIMIT_MS } from '../logql/log-engine.js';
import { current, messageOfLine, type Template, TemplateMiner } from '../patterns/template-miner.js';
import { Pacer } from '../store/pacer.js';
import type { RequestGate } from './gate.js';
import { selectorOf } from './parameters.js';

/** Maximum number of counted lines, starting with the newest. */
const MAX_LINES = 100_000;
const MAX_PATTERNS = 300;

/** Adds `patterns`: the templates of the lines of a stream selector, with the number of lines in each step. */
export function addPatternRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/patterns',
    gate.json(async ({ parameters, options }) => {
      const query = { kind: 'log', matchers: selectorOf(parameters.query), stages: [] } as const;
      const finder = new PatternFinder(Math.ceil(parameters.stepMs / 1000));
      const pacer = new Pacer({ ...options, limitMs: QUERY_LIMIT_MS });
      let numLines = 0;
      for await (const batch of engine.lines(query, parameters.range, 'backward', options)) {
        for (const { text, timeMs, labels } of batch) {
          if (pacer.isDue) await pacer.rest();
          if (++numLines > MAX_LINES) break;
          finder.add(text, labels.get(DETECTED_LEVEL) ?? '', timeMs);
        }
        if (numLines > MAX_LINES) break;
      }
      return { status: 'success', data: finder.patterns };
    }),
  );
}

interface Found {
  readonly template: Template;
  readonly before: string;
  readonly after: string;
  readonly level: string;
  /** Lines by the start of their step, in seconds. */
  readonly samples: Map<number, number>;
}

interface PatternJson {
  readonly pattern: string;
  readonly level: string;
  /** Time in seconds, number of lines. */
  readonly samples: readonly (readonly [number, number])[];
}

class PatternFinder {
  /** Miners by level, then by the text around the message. */
  readonly #miners = new Map<string, TemplateMiner>();
  readonly #found = new Map<Template, Found>();

  constructor(private readonly stepS: number) {}

  add(line: string, level: string, timeMs: number): void {
    const { before, text, after } = messageOfLine(line);
    const kind = `${level} ${before}`;
    const miner = this.#miners.get(kind) ?? new TemplateMiner();
    this.#miners.set(kind, miner);
    const template = miner.add(text);
    if (template === null) return;
    const found = this.#found.get(template) ?? { template, before, after, level, samples: new Map() };
    this.#found.set(template, found);
    const atS = Math.floor(timeMs / 1000 / this.stepS) * this.stepS;
    found.samples.set(atS, (found.samples.get(atS) ?? 0) + 1);
  }

  get patterns(): PatternJson[] {
    const byPattern = new Map<string, { level: string; pattern: string; samples: Map<number, number> }>();
    for (const { template, before, after, level, samples } of this.#found.values()) {
      const pattern = `${before}${current(template).text}${after}`;
      const key = `${level} ${pattern}`;
      const whole = byPattern.get(key) ?? { level, pattern, samples: new Map() };
      byPattern.set(key, whole);
      for (const [atS, count] of samples) whole.samples.set(atS, (whole.samples.get(atS) ?? 0) + count);
    }
    const size = (samples: ReadonlyMap<number, number>) =>
      [...samples.values()].reduce((sum, count) => sum + count, 0);
    return [...byPattern.values()]
      .sort((a, b) => size(b.samples) - size(a.samples))
      .slice(0, MAX_PATTERNS)
      .map((each) => ({ ...each, samples: withZeros(each.samples, this.stepS) }));
  }
}

/** Sorts by time and adds a zero at each end of a gap, so that a line drawn through the points is correct. */
function withZeros(counts: ReadonlyMap<number, number>, stepS: number): [number, number][] {
  const samples: [number, number][] = [];
  let next = Number.POSITIVE_INFINITY;
  for (const [atS, count] of [...counts].sort(([a], [b]) => a - b)) {
    if (atS > next) samples.push([next, 0]);
    if (atS - stepS > next) samples.push([atS - stepS, 0]);
    samples.push([atS, count]);
    next = atS + stepS;
  }
  return samples;
}
