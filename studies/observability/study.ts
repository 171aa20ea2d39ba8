import { formatTable } from 'locmoe/internal/format';
import { measureEach } from '../kit/measure-each.js';
import { text, words } from '../kit/options.js';
import { study } from '../kit/study.js';
import type { Bench, Measurement } from './support.js';

/** Parts in order of measurement. */
const PARTS: Readonly<Record<string, (lokiScripts: string) => Promise<Bench>>> = {
  lines: async () => (await import('./million-lines.js')).benchMillionLines,
  visible: async () => (await import('./visible.js')).benchVisible,
  page: async () => (await import('./page.js')).measurePage,
  'long-run': async () => (await import('./long-run.js')).measureLongRuns,
  traffic: async () => (await import('./page-traffic.js')).measureTraffic,
  a11y: async () => (await import('./accessibility.js')).countViolations,
  spans: async () => (await import('./spans.js')).benchSpans,
  overhead: async () => (await import('./step-overhead.js')).benchStepOverhead,
  watching: async () => (await import('./watching.js')).benchWatching,
  failures: async () => (await import('./failures.js')).benchFailures,
  loki: async (scripts) => {
    const { benchLokiScripts } = await import('./loki-scripts.js');
    return () => benchLokiScripts(scripts);
  },
};

/** Figures by name. */
type Figures = Readonly<Record<string, Measurement['value']>>;

export default study({
  name: 'observability',
  description: 'what logs, page, metrics, traces and alerts do, and what they cost a training',
  options: {
    only: words('parts to measure; the others keep their figures'),
    lokiScripts: text('<dir>', "folder of Loki's own test scripts, for the part loki", ''),
  },
  isPart: ({ only }) => only.length > 0,

  async measure(place): Promise<Figures> {
    const { only, lokiScripts } = place.options;
    const { machine: _machine, command: _command, ...before } = place.previous ?? {};
    // A figure that no longer exists goes if everything is measured.
    let figures: Figures = only.length === 0 && lokiScripts !== '' ? {} : before;
    const measured: Measurement[] = [];
    const parts = Object.fromEntries(
      Object.entries(PARTS).map(([name, load]) => [name, () => load(lokiScripts)]),
    );
    await measureEach<Measurement[]>(place, parts, async (_, found) => {
      measured.push(...found);
      figures = { ...figures, ...Object.fromEntries(found.map(({ name, value }) => [name, rounded(value)])) };
      await place.write(figures);
    });
    console.log(`\n${tableOf(measured)}`);
    return figures;
  },
});

function tableOf(measured: readonly Measurement[]): string {
  const shown = (value: Measurement['value']) =>
    typeof value === 'number'
      ? formatFigure(value)
      : Object.entries(value)
          .map((count) => count.join(' '))
          .join(', ');
  return formatTable(
    [
      ['', 'value', 'target', 'unit', 'note'],
      ...measured.map(({ meaning, value, target, unit, note }) => [
        ...[meaning, shown(value), target === null ? '-' : String(target), unit, note],
      ]),
    ],
    { textColumns: [3, 4] },
  );
}

function rounded(value: Measurement['value']): Measurement['value'] {
  return typeof value === 'number' ? Number(formatFigure(value)) : value;
}

/** Ratios near 1 need more digits than milliseconds. */
function formatFigure(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 4 : 1);
}
