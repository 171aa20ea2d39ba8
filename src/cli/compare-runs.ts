import { compareSettings } from '@locmoe/run-format/settings';
import { runSchema } from '../config/schema.js';
import { formatCount, formatDuration, formatShare, formatTable } from '../format.js';
import { figuresOf, type Run } from './run-figures.js';

/** Number of steps over which the speed is averaged. */
const SPEED_STEPS = 50;
/** Longer values are cut, as a placement of experts may have thousands of numbers. */
const MAX_CHARACTERS = 60;

/** Returns the settings in which runs differ, and the last figures of each. */
export function compareRuns(runs: readonly Run[]) {
  const settings = compareSettings(runs.map(({ folder }) => folder.readConfig(runSchema)));
  return {
    differences: settings.flatMap(({ path, values, differs }) => (differs ? [{ path, values }] : [])),
    runs: runs.map((run) => ({
      ...figuresOf(run, SPEED_STEPS),
      seconds: run.folder.readSummary()?.seconds ?? null,
    })),
  };
}

export function comparisonText({ differences, runs }: ReturnType<typeof compareRuns>): string {
  const names = ['', ...runs.map(({ runId }) => runId)];
  const row = <T>(
    name: string,
    figureOf: (run: (typeof runs)[number]) => T | null | undefined,
    format: (value: T) => string = String,
  ) => [
    name,
    ...runs.map((run) => {
      const value = figureOf(run);
      return value == null ? '-' : format(value);
    }),
  ];
  const domains = [...new Set(runs.flatMap((run) => Object.keys(run.domains)))];
  const settings = differences.map(({ path, values }) => [path, ...values.map(settingText)]);
  return [
    differences.length === 0 ? 'the configurations are the same' : 'settings that differ',
    ...(differences.length === 0
      ? []
      : [formatTable([names, ...settings], { textColumns: [...names.keys()] })]),
    '\nlast figures',
    formatTable([
      names,
      row('state', ({ state }) => state),
      row('step', ({ step, steps }) => `${step}/${steps ?? '?'}`),
      row('validation loss', ({ validationLoss }) => validationLoss?.toFixed(3)),
      ...domains.map((domain) => row(`  ${domain}`, (run) => run.domains[domain]?.toFixed(3))),
      row('perplexity', ({ perplexity }) => perplexity?.toFixed(1)),
      row('tokens/s', ({ tokensPerS }) => tokensPerS, formatCount),
      row('stayed on worker', ({ shares }) => shares?.sameWorker, formatShare),
      row('stayed on node', ({ shares }) => shares?.sameNode, formatShare),
      row('crossed', ({ shares }) => shares?.otherNode, formatShare),
      row('choices as of the id', ({ idShare }) => idShare, formatShare),
      row('time', ({ seconds }) => seconds, formatDuration),
    ]),
  ].join('\n');
}

function settingText(value: string | null): string {
  if (value === null) return '-';
  return value.length <= MAX_CHARACTERS ? value : `${value.slice(0, MAX_CHARACTERS)}...`;
}
