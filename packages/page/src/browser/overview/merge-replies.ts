import type { Columns, ExpertsReply, MetricsGroup, MetricsReply, RanksReply } from '../../api-types.js';

type Groups = Readonly<Record<MetricsGroup, Columns>>;

/** A reply of later rows, joined to what is known. */
export function mergedMetrics(known: MetricsReply | null, reply: MetricsReply): MetricsReply {
  if (known === null || reply.replaces) return reply;
  return {
    ...reply,
    groups: appended(known.groups, reply.groups),
    validations: [...known.validations, ...reply.validations],
    checkpoints: [...known.checkpoints, ...reply.checkpoints],
  };
}

/** A reply of changed buckets, in place of those that are known. */
export function mergedExperts(known: ExpertsReply | null, reply: ExpertsReply): ExpertsReply {
  const { firstBucket } = reply;
  if (known === null || firstBucket === 0) return reply;
  const joined = <T>(before: readonly T[], changed: readonly T[]) => [
    ...before.slice(0, firstBucket),
    ...changed,
  ];
  const all = <T>(before: readonly (readonly T[])[], changed: readonly (readonly T[])[]) =>
    changed.map((each, layer) => joined(before[layer]!, each));
  return {
    ...reply,
    most: all(known.most, reply.most),
    mostRouted: all(known.mostRouted, reply.mostRouted),
    dropped: all(known.dropped, reply.dropped),
    kept: all(known.kept, reply.kept),
    routed: all(known.routed, reply.routed),
  };
}

/** A reply of new and longer spans, in place of those that are known. */
export function mergedRanks(known: RanksReply | null, reply: RanksReply): RanksReply {
  if (known === null || reply.replaces) return reply;
  const spansOf = new Map(known.ranks.map(({ rank, spans }) => [rank, spans]));
  const ranks = reply.ranks.map((lane) => {
    const before = spansOf.get(lane.rank) ?? [];
    const from = lane.spans[0]?.from ?? Number.POSITIVE_INFINITY;
    return { ...lane, spans: [...before.filter((span) => span.from < from), ...lane.spans] };
  });
  return { ...reply, ranks };
}

function appended(groups: Groups, more: Groups): Groups {
  const joined = (name: MetricsGroup) => {
    const before = groups[name];
    const numBefore = Object.values(before)[0]?.length ?? 0;
    const numMore = Object.values(more[name])[0]?.length ?? 0;
    if (numMore === 0) return before;
    const names = new Set([...Object.keys(before), ...Object.keys(more[name])]);
    const blank = (length: number) => new Array<null>(length).fill(null);
    return Object.fromEntries(
      [...names].map((column) => [
        column,
        [...(before[column] ?? blank(numBefore)), ...(more[name][column] ?? blank(numMore))],
      ]),
    );
  };
  const names = Object.keys(groups) as MetricsGroup[];
  return Object.fromEntries(names.map((name) => [name, joined(name)])) as Record<MetricsGroup, Columns>;
}
