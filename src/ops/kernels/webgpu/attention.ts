import { mapTuple } from '../../../map-tuple.js';
import type { tf } from '../../tensorflow.js';
import { type AttentionShape, type FusedForward, keyValueHeadsOf } from '../kernels.js';
import type { Shader } from './commands.js';
import { bitsOf } from './device.js';
import type { DeviceMemory } from './device-memory.js';
import { declare } from './shaders.js';

// Shapes: T tokens, S positions, H heads of queries, K of keys and values, h size of a head, d = H h. An invocation computes a row of
// a head, so that no matrix of scores is ever in memory; the invocations of a workgroup share the rows over which they sum.

/** Rows of a workgroup. */
const ROWS = 64;
/** Rows over which a workgroup sums at a time: as many as every device has room for, with heads of 128. */
const BLOCK = 16;

/**
 * @param h size of a head
 * @param arrays as in `declare`
 */
function shader(name: string, h: number, arrays: readonly string[], body: string): Shader {
  return {
    name: `${name} with heads of ${h}`,
    code: `
${declare(['seqLen', 'heads', 'keyHeads', 'tokens', 'scale'], arrays)}
const SIZE = ${h}u;
const ROWS = ${ROWS}u;
const BLOCK = ${BLOCK}u;
var<workgroup> left: array<f32, BLOCK * SIZE>;
var<workgroup> right: array<f32, BLOCK * SIZE>;

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let width = (p.heads + 2 * p.keyHeads) * SIZE;
  let ownWidth = p.heads * SIZE;
  let position = group.x * ROWS + index;
  let sequence = group.z * p.seqLen;
  let token = sequence + position;
  let inRange = position < p.seqLen;
  let scale = bitcast<f32>(p.scale);
  ${body}
}
`,
  };
}

/** Visits the keys to which each query of a workgroup attends, with `score`, and the elements of key and value at `at`. */
function eachKey(visit: string): string {
  return `
  let head = group.y;
  let keyHead = head * p.keyHeads / p.heads;
  let keyColumn = (p.heads + keyHead) * SIZE;
  let valueColumn = keyColumn + p.keyHeads * SIZE;
  var query: array<f32, SIZE>;
  var start = 0u;
  if (inRange) {
    start = position - positions[token];
    for (var i = 0u; i < SIZE; i++) { query[i] = qkv[token * width + head * SIZE + i]; }
  }
  let firstQuery = group.x * ROWS;
  let end = min(p.seqLen, firstQuery + ROWS);
  for (var first = firstQuery - positions[sequence + firstQuery]; first < end; first += BLOCK) {
    for (var i = index; i < BLOCK * SIZE; i += ROWS) {
      let row = min(first + i / SIZE, end - 1);
      left[i] = qkv[(sequence + row) * width + keyColumn + i % SIZE];
      right[i] = qkv[(sequence + row) * width + valueColumn + i % SIZE];
    }
    workgroupBarrier();
    for (var key = max(first, start); inRange && key < first + BLOCK && key <= position; key++) {
      let at = (key - first) * SIZE;
      var score = 0.0;
      for (var i = 0u; i < SIZE; i++) { score += query[i] * left[at + i]; }
      score *= scale;
      ${visit}
    }
    workgroupBarrier();
  }
`;
}

/** Computes the softmax as it goes: the sums are relative to the greatest score so far. */
const forward = (h: number) =>
  shader(
    'attention',
    h,
    ['qkv', 'u32 positions', 'out y', 'out logSums'],
    `
  var values: array<f32, SIZE>;
  var greatest = -3.0e38;
  var sum = 0.0;
  ${eachKey(`
      if (score > greatest) {
        let less = exp(greatest - score);
        sum *= less;
        for (var i = 0u; i < SIZE; i++) { values[i] *= less; }
        greatest = score;
      }
      let weight = exp(score - greatest);
      sum += weight;
      for (var i = 0u; i < SIZE; i++) { values[i] += weight * right[at + i]; }
  `)}
  if (inRange) {
    for (var i = 0u; i < SIZE; i++) { y[token * ownWidth + head * SIZE + i] = values[i] / sum; }
    logSums[head * p.tokens + token] = log(sum) + greatest;
  }
`,
  );

/** Computes the gradient of the queries, and D, the sums of dy y (FlashAttention, arXiv 2205.14135, appendix B.2). */
const ofQueries = (h: number) =>
  shader(
    'gradient of queries',
    h,
    ['qkv', 'u32 positions', 'y', 'logSums', 'dy', 'out dQkv', 'out dots'],
    `
  var gradient: array<f32, SIZE>;
  var incoming: array<f32, SIZE>;
  var dot = 0.0;
  var logSum = 0.0;
  if (inRange) {
    let own = token * ownWidth + group.y * SIZE;
    for (var i = 0u; i < SIZE; i++) {
      incoming[i] = dy[own + i];
      dot += incoming[i] * y[own + i];
    }
    logSum = logSums[group.y * p.tokens + token];
  }
  ${eachKey(`
      var slope = -dot;
      for (var i = 0u; i < SIZE; i++) { slope += incoming[i] * right[at + i]; }
      slope *= exp(score - logSum) * scale;
      for (var i = 0u; i < SIZE; i++) { gradient[i] += slope * left[at + i]; }
  `)}
  if (inRange) {
    for (var i = 0u; i < SIZE; i++) { dQkv[token * width + head * SIZE + i] = gradient[i]; }
    dots[head * p.tokens + token] = dot;
  }
`,
  );

/** Computes the gradients of keys and values from the queries after them, of one head after another. */
const ofKeysAndValues = (h: number) =>
  shader(
    'gradients of keys and values',
    h,
    ['qkv', 'u32 positions', 'logSums', 'dots', 'dy', 'out dQkv'],
    `
  let keyHead = group.y;
  let keyColumn = (p.heads + keyHead) * SIZE;
  let valueColumn = keyColumn + p.keyHeads * SIZE;
  var key: array<f32, SIZE>;
  var value: array<f32, SIZE>;
  var dKey: array<f32, SIZE>;
  var dValue: array<f32, SIZE>;
  if (inRange) {
    for (var i = 0u; i < SIZE; i++) {
      key[i] = qkv[token * width + keyColumn + i];
      value[i] = qkv[token * width + valueColumn + i];
    }
  }
  let sharing = p.heads / p.keyHeads;
  for (var head = keyHead * sharing; head < (keyHead + 1) * sharing; head++) {
    for (var first = group.x * ROWS; first < p.seqLen; first += BLOCK) {
      for (var i = index; i < BLOCK * SIZE; i += ROWS) {
        let row = sequence + min(first + i / SIZE, p.seqLen - 1);
        left[i] = qkv[row * width + head * SIZE + i % SIZE];
        right[i] = dy[row * ownWidth + head * SIZE + i % SIZE];
      }
      workgroupBarrier();
      for (var query = max(first, position); query < min(first + BLOCK, p.seqLen); query++) {
        if (query - positions[sequence + query] > position) { break; }
        let at = (query - first) * SIZE;
        let row = head * p.tokens + sequence + query;
        var score = 0.0;
        var slope = -dots[row];
        for (var i = 0u; i < SIZE; i++) {
          score += key[i] * left[at + i];
          slope += value[i] * right[at + i];
        }
        let weight = exp(score * scale - logSums[row]);
        slope *= weight * scale;
        for (var i = 0u; i < SIZE; i++) {
          dKey[i] += slope * left[at + i];
          dValue[i] += weight * right[at + i];
        }
      }
      workgroupBarrier();
    }
  }
  if (inRange) {
    for (var i = 0u; i < SIZE; i++) {
      dQkv[token * width + keyColumn + i] = dKey[i];
      dQkv[token * width + valueColumn + i] = dValue[i];
    }
  }
`,
  );

/** Implements `Kernels.causalAttention`. */
export function causalAttention(
  memory: DeviceMemory,
  qkvTC: tf.Tensor2D,
  shape: AttentionShape,
): FusedForward<[qkv: tf.Tensor, y: tf.Tensor, logSums: tf.Tensor]> {
  const { device } = memory;
  const { numSequences, seqLen, numHeads } = shape;
  const keyHeads = keyValueHeadsOf(shape);
  const [numTokens, width] = qkvTC.shape;
  const h = width / (numHeads + 2 * keyHeads);
  const positions = shape.positionsT ?? Int32Array.from({ length: numTokens }, (_, token) => token % seqLen);
  const params = [seqLen, numHeads, keyHeads, numTokens, bitsOf(1 / Math.sqrt(h))];
  const groups = (heads: number) => [Math.ceil(seqLen / ROWS), heads, numSequences] as const;
  const y = memory.create([numTokens, numHeads * h]);
  const logSums = memory.create([numHeads, numTokens]);
  const qkv = memory.bufferOf(qkvTC);
  memory.borrow(positions, (at) =>
    device.runGrid(forward(h), [qkv, at, y.buffer, logSums.buffer], params, groups(numHeads)),
  );
  return {
    value: y.tensor,
    saved: [qkvTC, y.tensor, logSums.tensor],
    backward: (dyTD, saved) => {
      const [qkv, y, logSums] = mapTuple(saved, (each) => memory.bufferOf(each));
      const dy = memory.bufferOf(dyTD);
      const dQkv = memory.create(qkvTC.shape);
      memory.borrow(positions, (at) =>
        memory.borrow(numHeads * numTokens, (dots) => {
          const ofRows = [qkv, at, y, logSums, dy, dQkv.buffer, dots];
          device.runGrid(ofQueries(h), ofRows, params, groups(numHeads));
          const ofKeys = [qkv, at, logSums, dots, dy, dQkv.buffer];
          device.runGrid(ofKeysAndValues(h), ofKeys, params, groups(keyHeads));
        }),
      );
      return [dQkv.tensor];
    },
  };
}
