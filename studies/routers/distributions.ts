// Distributions of tokens over space and experts. Shapes: T points, d coordinates of a point.

/**
 * Calinski-Harabasz index as the LocMoE+ paper (arXiv 2406.00023) prints it, without the degrees of freedom:
 * CH = [sum_i n_i |c_i - c|^2] / [sum_i sum_{x in i} |x - c_i|^2].
 *
 * @param points row-major [T, d]
 * @param clusterT cluster of each point, length T; points of a negative cluster are left out
 * @returns 0 for a single cluster, NaN without points
 */
export function calinskiHarabasz(points: Float32Array, clusterT: Int32Array): number {
  const dims = points.length / clusterT.length;
  const members = new Map<number, number[]>();
  clusterT.forEach((cluster, t) => {
    if (cluster < 0) return;
    const own = members.get(cluster) ?? [];
    own.push(t);
    members.set(cluster, own);
  });
  const all = [...members.values()].flat();
  const centre = centroid(points, dims, all);
  let between = 0;
  let within = 0;
  for (const cluster of members.values()) {
    const own = centroid(points, dims, cluster);
    between += cluster.length * squaredDistance(own, 0, centre, dims);
    for (const t of cluster) within += squaredDistance(points, t * dims, own, dims);
  }
  return between / within;
}

function centroid(points: Float32Array, dims: number, members: readonly number[]): Float64Array {
  const sum = new Float64Array(dims);
  for (const t of members) for (let i = 0; i < dims; i++) sum[i]! += points[t * dims + i]!;
  return sum.map((value) => value / members.length);
}

function squaredDistance(
  values: Float32Array | Float64Array,
  begin: number,
  from: Float64Array,
  dims: number,
): number {
  let sum = 0;
  for (let i = 0; i < dims; i++) sum += (values[begin + i]! - from[i]!) ** 2;
  return sum;
}

/**
 * Share of the tokens that have the same expert twice, without those that have none (negative) once.
 *
 * @param beforeT experts of length T
 * @param afterT the same of the same tokens
 * @returns NaN without tokens
 */
export function shareOfSame(beforeT: Int32Array, afterT: Int32Array): number {
  let [same, count] = [0, 0];
  afterT.forEach((expert, t) => {
    if (expert < 0 || beforeT[t]! < 0) return;
    count++;
    if (expert === beforeT[t]) same++;
  });
  return same / count;
}

/** Histogram with equal bins over [from, to]; values outside go to the nearest bin. */
export class Histogram {
  readonly counts: number[];
  #total = 0;

  constructor(
    readonly from: number,
    readonly to: number,
    numBins: number,
  ) {
    this.counts = new Array<number>(numBins).fill(0);
  }

  add(value: number): void {
    const { from, to, counts } = this;
    const bin = Math.floor(((value - from) / (to - from)) * counts.length);
    counts[Math.min(counts.length - 1, Math.max(0, bin))]!++;
    this.#total++;
  }

  /** Bin centres with the share of values in each bin; all zero if empty. */
  get shares(): { readonly middle: number; readonly share: number }[] {
    const width = (this.to - this.from) / this.counts.length;
    return this.counts.map((count, bin) => ({
      middle: this.from + (bin + 0.5) * width,
      share: this.#total === 0 ? 0 : count / this.#total,
    }));
  }
}

/** Cumulative share of load in decreasing order: element i is the share of the i + 1 busiest experts. */
export function cumulativeLoad(loads: readonly number[]): number[] {
  const total = loads.reduce((sum, load) => sum + load, 0);
  let running = 0;
  return [...loads]
    .sort((a, b) => b - a)
    .map((load) => {
      running += load;
      return running / total;
    });
}
