import { LogsError } from '../errors.js';
import type { Labels } from '../store/streams.js';
import type { Matching } from './ast.js';
import { type Combine, hasValues, matchingKey, matchingLabels, put } from './combine.js';
import { ByLabels, emptySeries, labelsText, type Series, type TimeGrid } from './series.js';

/**
 * Combines the values of two vectors, series by series and point by point. On the side `many` several series
 * may match one of the other side; without it, each matches at most one.
 *
 * @throws LogsError `BAD_INPUT` if more series match
 */
export function matchVectors(
  matching: Matching,
  apply: Combine,
  left: readonly Series[],
  right: readonly Series[],
  grid: TimeGrid,
): Series[] {
  const keyOf = matchingKey(matching);
  const isRightMany = matching.many === 'right';
  const ones = groupOnes(isRightMany ? left : right, matching, isRightMany ? 'left' : 'right', grid);
  const results = new ByLabels((labels) => emptySeries(labels, grid), grid);
  /** The points of a result that two series have matched already. */
  const taken = new ByLabels((labels) => emptySeries(labels, grid).present, grid);
  for (const many of isRightMany ? right : left)
    for (const one of ones.get(keyOf(many)) ?? []) {
      const labels = resultLabels(matching, many.labels, one.labels);
      const result = results.get(labels);
      const isTaken = taken.get(labels);
      for (let point = 0; point < grid.numPoints; point++) {
        if (many.present[point] === 0 || one.present[point] === 0) continue;
        if (isTaken[point] === 1) throw severalMatches(matching, labels);
        isTaken[point] = 1;
        const [a, b] = isRightMany ? [one, many] : [many, one];
        put(result, point, apply(a.values[point]!, b.values[point]!));
      }
    }
  return results.all.filter(hasValues);
}

/** Series by the labels that must match, no two of which have a value at the same point. */
function groupOnes(
  series: readonly Series[],
  matching: Matching,
  side: string,
  grid: TimeGrid,
): Map<string, Series[]> {
  const groups = new Map<string, Series[]>();
  const keyOf = matchingKey(matching);
  for (const each of series) {
    const group = groups.get(keyOf(each)) ?? [];
    for (const other of group)
      for (let point = 0; point < grid.numPoints; point++)
        if (each.present[point] === 1 && other.present[point] === 1)
          throw new LogsError(
            'BAD_INPUT',
            `found duplicate series on the ${side} hand-side: ${labelsText(other.labels)} and ${labelsText(each.labels)} match the same; aggregate that side first`,
          );
    group.push(each);
    groups.set(keyOf(each), group);
  }
  return groups;
}

function resultLabels(matching: Matching, many: Labels, one: Labels): Labels {
  if (matching.many === null) return matchingLabels(matching)(many);
  const labels = new Map(many);
  for (const name of matching.include) {
    const value = one.get(name);
    if (value === undefined) labels.delete(name);
    else labels.set(name, value);
  }
  return labels;
}

function severalMatches({ many }: Matching, labels: Labels): LogsError {
  return new LogsError(
    'BAD_INPUT',
    many === null
      ? `multiple matches for labels: several series of the left side match ${labelsText(labels)}; many-to-one matching must be explicit (group_left/group_right)`
      : `multiple matches for labels: several results would be ${labelsText(labels)}; grouping labels must ensure unique matches`,
  );
}
