import type { Matcher, MetricQuery, Query } from './ast.js';

/** Adds matchers to every stream selector of a query. */
export function narrow<Q extends Query>(query: Q, matchers: readonly Matcher[]): Q;
export function narrow(query: Query, matchers: readonly Matcher[]): Query {
  return query.kind === 'log'
    ? { ...query, matchers: [...query.matchers, ...matchers] }
    : narrowMetric(query, matchers);
}

function narrowMetric(query: MetricQuery, matchers: readonly Matcher[]): MetricQuery {
  switch (query.kind) {
    case 'range':
      return { ...query, log: narrow(query.log, matchers) };
    case 'aggregate':
    case 'label-replace':
      return { ...query, inner: narrowMetric(query.inner, matchers) };
    case 'binary':
      return {
        ...query,
        left: narrowMetric(query.left, matchers),
        right: narrowMetric(query.right, matchers),
      };
    default:
      return query;
  }
}
