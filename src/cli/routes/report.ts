import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { parseRoutesFileName, type RouteRow, readRoutes } from '@locmoe/run-format/routes-file';
import { TrainerError } from '../../errors.js';
import { type ExpertRoutes, type LayerRoutes, reportRoutes } from '../../evaluation/route-report.js';
import { formatCount, formatTable } from '../../format.js';

/** Some 2 GB of memory. */
const MOST_ROWS = 4_000_000;

export interface ReportOptions {
  /** Files, or folders of runs. */
  readonly places: readonly string[];
  readonly from: number;
  readonly to?: number;
  readonly json?: true;
}

/** Prints what decides the choices of recorded routes. */
export async function reportOnRoutes({ places, from, to, json }: ReportOptions): Promise<void> {
  const rows: RouteRow[] = [];
  for (const file of places.flatMap(filesIn)) {
    for (const row of await readRoutes(file))
      if (row.step >= from && row.step <= (to ?? Number.POSITIVE_INFINITY)) rows.push(row);
    if (rows.length > MOST_ROWS)
      throw new TrainerError(
        'BAD_INPUT',
        `${places.join(' ')}: more than ${formatCount(MOST_ROWS)} choices; give fewer steps with --from and --to`,
      );
  }
  if (rows.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `${places.join(' ')}: no routes of steps ${from} to ${to ?? 'the last'}`,
    );
  const layers = reportRoutes(rows);
  if (json) console.log(JSON.stringify(layers));
  else for (const layer of layers) printLayer(layer);
}

/** The file, or all files of a run. */
function filesIn(place: string): string[] {
  const stats = statSync(place, { throwIfNoEntry: false });
  if (stats === undefined) throw new TrainerError('BAD_INPUT', `${place}: there is no such file or run`);
  if (!stats.isDirectory()) return [place];
  const { routes } = new RunFolder(place);
  const folder = statSync(routes, { throwIfNoEntry: false })?.isDirectory() ? routes : place;
  const files = readdirSync(folder).filter((name) => parseRoutesFileName(name) !== null);
  if (files.length === 0)
    throw new TrainerError('BAD_INPUT', `${place}: has no routes; train with train.recordRoutes.every=50`);
  return files.sort().map((name) => path.join(folder, name));
}

function printLayer({
  layer,
  choices,
  kept,
  predicted,
  shuffled,
  entropy,
  gateShare,
  margin,
  experts,
  load,
}: LayerRoutes): void {
  console.log(`\nlayer ${layer}: ${formatCount(choices)} choices, ${percent(kept / choices)} kept`);
  const rows = (Object.keys(predicted.expert) as (keyof typeof entropy)[]).map((known) => [
    known,
    percent(predicted.expert[known].share),
    percent(predicted.outcome[known].share),
    percent(predicted.expert[known].coverage),
    entropy[known].toFixed(2),
  ]);
  const floor = [
    'id and domain, experts dealt anew',
    percent(shuffled.share),
    '',
    percent(shuffled.coverage),
    '',
  ];
  console.log(
    formatTable([['what is known', 'expert', 'and outcome', 'of held-out', 'bits left'], ...rows, floor]),
  );
  if (gateShare !== null)
    console.log(
      `the gate's own first choice is taken by ${percent(gateShare)}` +
        (margin === null ? '' : `; the best score is ${margin.toPrecision(3)} above the second`),
    );
  const { p10, p50, p90, max } = load;
  console.log(
    `load over its mean: 10 % of the experts below ${p10.toFixed(2)}, half below ${p50.toFixed(2)}, 90 % below ${p90.toFixed(2)}, most ${max.toFixed(2)}`,
  );
  console.log(
    formatTable([
      ['expert', 'choices', 'kept', 'domains', 'token ids it takes most (share of the id)'],
      ...experts.map(expertRow),
    ]),
  );
}

function expertRow({ expert, choices, kept, domains, mostTaken }: ExpertRoutes): string[] {
  return [
    `e${expert}`,
    formatCount(choices),
    percent(kept / choices),
    Object.entries(domains)
      .map(([domain, count]) => `${domain} ${percent(count / choices)}`)
      .join(' '),
    mostTaken.map(({ token, share }) => `${token} (${percent(share)})`).join(' '),
  ];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
