import type { CacheReport } from '../../evaluation/routes/cache.js';
import type { ExpertRoutes } from '../../evaluation/routes/experts.js';
import { type GateRoutes, KNOWN, type LayerRoutes } from '../../evaluation/routes/report.js';
import { total } from '../../evaluation/statistics.js';
import { formatCount, formatTable } from '../../format.js';

/** Returns the text of a token in a report. */
export type TokenText = (id: number) => string;

/** Formats the report on a layer for a terminal. */
export function layerLines(layer: LayerRoutes, textOf: TokenText): string[] {
  const { choices, kept, gate, experts, load } = layer;
  const { p10, p50, p90, max } = load;
  return [
    `\nlayer ${layer.layer}: ${formatCount(choices)} choices, ${percent(kept / choices)} kept`,
    predictionTable(layer),
    informationLine(layer),
    ...(gate === null ? [] : [gateLine(gate)]),
    `load over its mean: 10 % of the experts below ${p10.toFixed(2)}, half below ${p50.toFixed(2)}, 90 % below ${p90.toFixed(2)}, most ${max.toFixed(2)}`,
    ...overlapLines(layer),
    ...stabilityLines(layer),
    formatTable([
      ['expert', 'choices', 'kept', 'domains', 'takes most (share of the id)', 'takes most exclusively'],
      ...experts.map((expert) => expertRow(expert, textOf)),
    ]),
  ];
}

function predictionTable({ predicted, shuffled }: LayerRoutes): string {
  const rows = KNOWN.map((known) => {
    const { share, error, coverage } = predicted.expert[known];
    return [
      known,
      Number.isNaN(share) ? '-' : `${percent(share)} ± ${(100 * error).toFixed(1)}`,
      percent(predicted.outcome[known].share),
      percent(coverage),
    ];
  });
  const floor = ['id and domain, experts shuffled', percent(shuffled), '', ''];
  return formatTable([['what is known', 'expert', 'and outcome', 'of held-out'], ...rows, floor]);
}

function informationLine({ entropy, explained }: LayerRoutes): string {
  const { 'id before, given id and domain': before, ...facts } = explained;
  const shares = Object.entries(facts).map(([fact, share]) => `${fact} ${percent(share ?? 0)}`);
  const left = entropy * (1 - (facts['id and domain'] ?? 0));
  return (
    `information: the expert has ${entropy.toFixed(2)} bits; explained by ${shares.join('; ')}; ` +
    (before === null
      ? 'these leave none'
      : `the preceding id explains ${percent(before)} of the remaining ${left.toFixed(2)} bits`)
  );
}

function gateLine({ share, margin, entropy, z }: GateRoutes): string {
  return (
    `gate: its own first choice is taken by ${percent(share)}` +
    (margin === null ? '' : `; the best score is ${margin.toPrecision(3)} above the second`) +
    `; entropy ${entropy.toFixed(2)} nats; router z ${z.toPrecision(3)}`
  );
}

function overlapLines({ overlaps }: LayerRoutes): string[] {
  const [most] = overlaps;
  if (most === undefined) return [];
  const mean = total(overlaps.map(({ overlap }) => overlap)) / overlaps.length;
  return [
    `overlap of what two experts take: ${percent(mean)} on average, most ${percent(most.overlap)} (e${most.experts[0]} and e${most.experts[1]})`,
  ];
}

function stabilityLines({ stability }: LayerRoutes): string[] {
  if (stability.length === 0) return [];
  const shares = stability.map(({ from, to, share }) => `${from} to ${to} ${percent(share)}`);
  const what = stability.at(-1)!.sameText
    ? 'the same choice of the same text'
    : 'the usual choice of id and domain';
  const shown = shares.length <= 4 ? shares : [...shares.slice(0, 2), '...', ...shares.slice(-2)];
  return [`stability, ${what} at the step before: ${shown.join('; ')}`];
}

function expertRow(
  { expert, choices, kept, domains, mostTaken, mostExclusive }: ExpertRoutes,
  textOf: TokenText,
): string[] {
  return [
    `e${expert}`,
    formatCount(choices),
    percent(kept / choices),
    Object.entries(domains)
      .map(([domain, count]) => `${domain} ${percent(count / choices)}`)
      .join(' '),
    mostTaken.map(({ token, share }) => `${textOf(token)} (${percent(share)})`).join(' '),
    mostExclusive.map(({ token }) => textOf(token)).join(' '),
  ];
}

/** Formats the report on caches of experts for a terminal. */
export function cacheLines(reports: readonly CacheReport[]): string[] {
  const nameOf = ({ layer }: CacheReport) => (layer === null ? 'all layers' : `layer ${layer}`);
  return [
    "Counted are the look-ups of the second half of each domain's sequences.",
    formatTable([
      ['reuse distance', 'look-ups', 'tokens: median', '90 %', 'experts: median', '90 %'],
      ...reports.map((report) => [
        nameOf(report),
        formatCount(report.lookups),
        ...(['tokens', 'experts'] as const).flatMap((unit) =>
          (['p50', 'p90'] as const).map((part) => `${report.recorded.reuse[unit][part] ?? '-'}`),
        ),
      ]),
    ]),
    formatTable([
      ['hits', 'held', 'LRU within a text', 'LRU over texts', 'most used of the first half'],
      ...reports.flatMap((report) =>
        report.recorded.hits.map((hits) => [
          nameOf(report),
          `${hits.held} of ${report.numExperts}`,
          ...(['withinText', 'overTexts', 'mostUsed'] as const).map((cache) => percent(hits[cache])),
        ]),
      ),
    ]),
  ];
}

function percent(share: number): string {
  if (Number.isNaN(share)) return '-';
  // Adjusted for chance, a share near 0 may be negative.
  return `${(100 * Math.max(0, share)).toFixed(1)} %`;
}
