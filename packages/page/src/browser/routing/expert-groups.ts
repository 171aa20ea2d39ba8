export type ExpertsOfDomain = Readonly<Record<string, readonly number[]>>;

/**
 * Experts that are open to the same domains. Without routing at level 1, there is one group of all experts.
 */
export interface ExpertGroup {
  readonly experts: readonly number[];
  readonly domains: readonly string[];
}

export function groupsOf(expertsOfDomain: ExpertsOfDomain): ExpertGroup[] {
  const groups = new Map<string, { experts: readonly number[]; domains: string[] }>();
  for (const [domain, experts] of Object.entries(expertsOfDomain)) {
    const group = groups.get(String(experts)) ?? { experts, domains: [] };
    group.domains.push(domain);
    groups.set(String(experts), group);
  }
  return [...groups.values()].sort((a, b) => (a.experts[0] ?? 0) - (b.experts[0] ?? 0));
}
