import { type ExpertRoutes, type LayerRoutes, reportRoutes } from '../../evaluation/route-report.js';
import { formatCount, formatTable } from '../../format.js';
import { type RoutePlaces, readPlaces } from './read-places.js';

export interface ReportOptions extends RoutePlaces {
  readonly json?: true;
}

/** Prints what decides the choices of recorded routes. */
export async function reportOnRoutes({ json, ...places }: ReportOptions): Promise<void> {
  const layers = reportRoutes(await readPlaces(places));
  if (json) console.log(JSON.stringify(layers));
  else for (const layer of layers) printLayer(layer);
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
