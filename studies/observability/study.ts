import { formatTable } from 'locmoe/internal/format';
import { runScripts } from '../../packages/logs/test/loki-scripts/run-scripts.js';
import { text, words } from '../kit/options.js';
import { measureEach } from '../kit/parts.js';
import { readYaml } from '../kit/read-yaml.js';
import { study } from '../kit/study.js';
import { type Bench, type Found, inFolder } from './support.js';

const PARTS: Readonly<Record<string, () => Promise<Bench>>> = {
  lines: async () => (await import('./million-lines.js')).benchMillionLines,
  visible: async () => (await import('./visible.js')).benchVisible,
  page: async () => (await import('./page.js')).measurePage,
  'long-run': async () => (await import('./long-run.js')).measureLongRuns,
  traffic: async () => (await import('./page.js')).measureTraffic,
  a11y: async () => (await import('./page.js')).countViolations,
  spans: async () => (await import('./spans.js')).benchSpans,
  overhead: async () => (await import('./step-overhead.js')).benchStepOverhead,
  watching: async () => (await import('./watching.js')).benchWatching,
  failures: async () => (await import('./failures.js')).benchFailures,
};

type Figures = Readonly<Record<string, Found['value']>>;

interface Meaning {
  readonly meaning: string;
  readonly unit?: string;
  readonly target?: number;
}

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
    let measured: Readonly<Record<string, Found>> = {};
    const parts = { ...PARTS, loki: async () => () => benchLokiScripts(lokiScripts) };
    await measureEach(place, parts, async (_, found) => {
      measured = { ...measured, ...found };
      const values = Object.entries(found).map(([name, { value }]) => [name, rounded(value)]);
      figures = { ...figures, ...Object.fromEntries(values) };
      await place.write(figures);
    });
    console.log(`\n${tableOf(measured)}`);
    return figures;
  },
});

function tableOf(measured: Readonly<Record<string, Found>>): string {
  const shown = (value: Found['value']) =>
    typeof value === 'number'
      ? formatFigure(value)
      : Object.entries(value)
          .map((count) => count.join(' '))
          .join(', ');
  const meanings = readYaml<Readonly<Record<string, Meaning>>>('observability/figures.yaml');
  const rows = Object.entries(measured).map(([name, { value, note }]) => {
    const { meaning, target = '-', unit = '' } = meanings[name]!;
    return [meaning, shown(value), String(target), unit, note];
  });
  return formatTable([['', 'value', 'target', 'unit', 'note'], ...rows], { textColumns: [3, 4] });
}

/** @param directory folder of Loki's own test scripts; skipped without one */
async function benchLokiScripts(directory: string): ReturnType<Bench> {
  if (directory === '') {
    console.error(
      "loki is skipped: give the folder of Loki's *.logqltest files (pkg/logql/internal/logqltest/testdata) as --loki-scripts DIR",
    );
    return {};
  }
  const tally = await inFolder((folder) => runScripts(directory, folder));
  const { right, refusedByName, wrong, failed, withMetadata, numScripts } = tally;
  return {
    lokiEvaluations: {
      value: { right, refusedByName, wrong },
      note: `of ${right + refusedByName + wrong} in ${numScripts} scripts, ${failed} of which must fail; ${withMetadata} with structured metadata left out`,
    },
  };
}

function rounded(value: Found['value']): Found['value'] {
  return typeof value === 'number' ? Number(formatFigure(value)) : value;
}

/** Ratios near 1 need more digits than milliseconds. */
function formatFigure(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 4 : 1);
}
