import type { ExpertsReply } from '../../api-types.js';

/** First and last step of a bucket. */
export function stepsOf(
  { firstStep, stepsPerBucket, lastStep }: ExpertsReply,
  bucket: number,
): readonly [number, number] {
  const from = (firstStep ?? 0) + bucket * stepsPerBucket;
  return [from, Math.min(lastStep, from + stepsPerBucket - 1)];
}

export function numBucketsOf({ most }: ExpertsReply): number {
  return most[0]?.length ?? 0;
}

/** The bucket of a step, or the one next to it. */
export function bucketOf(data: ExpertsReply, step: number): number {
  const bucket = Math.floor((step - (data.firstStep ?? 0)) / data.stepsPerBucket);
  return Math.max(0, Math.min(numBucketsOf(data) - 1, bucket));
}

/** Each expert's load over a fair share; all 0 if no token was kept. */
export function overFair(kept: readonly number[] = []): number[] {
  const total = kept.reduce((sum, count) => sum + count, 0);
  return kept.map((count) => (total === 0 ? 0 : (count / total) * kept.length));
}
