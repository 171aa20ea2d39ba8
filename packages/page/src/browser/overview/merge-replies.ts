import type { Columns, ExpertsReply, MetricsGroup, MetricsReply, RanksReply } from '../../api-types.js';

type Groups = Readonly<Record<MetricsGroup, Columns>>;

/** Appends the later rows of a reply to the known ones. */
export function mergedMetrics(known: MetricsReply | null, reply: MetricsReply): MetricsReply {
  if (known === null || reply.replaces) return reply;
  return {
    ...reply,
    groups: appended(known.groups, reply.groups),
    validations: [...known.validations, ...reply.validations],
    checkpoints: [...known.checkpoints, ...reply.checkpoints],
  };
}

/** Replaces known buckets by the changed ones of a reply. */
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
    links: reply.links && { ...reply.links, bytes: joined(known.links?.bytes ?? [], reply.links.bytes) },
  };
}

/** Replaces known spans by the new and longer ones of a reply. */
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
  const entries = Object.entries(groups).map(([name, before]) => {
    const after = more[name as MetricsGroup];
    const lengthOf = (columns: Columns) => Object.values(columns)[0]?.length ?? 0;
    const valuesOf = (columns: Columns, column: string) =>
      columns[column] ?? new Array<null>(lengthOf(columns)).fill(null);
    if (lengthOf(after) === 0) return [name, before] as const;
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    const joined = names.map(
      (each) => [each, [...valuesOf(before, each), ...valuesOf(after, each)]] as const,
    );
    return [name, Object.fromEntries(joined)] as const;
  });
  return Object.fromEntries(entries) as Groups;
}
