import type { AdamWNumbers, AdamWState, DeviceUpdates } from '../kernels.js';
import { bitsOf } from './device.js';
import type { DeviceMemory } from './device-memory.js';
import { elementwise, rowwise, runElementwise } from './shaders.js';

/** A workgroup of `SQUARES` adds up so many elements. */
const CHUNK = 1 << 14;

/** Writes the sum of squares of each chunk of x behind those of other arrays. */
const SQUARES = rowwise(
  'sums of squares',
  ['x', 'out sums'],
  `
  var part = 0.0;
  let end = min(begin + p.width, p.length);
  for (var i = begin + index; i < end; i += WIDTH) { part += x[i] * x[i]; }
  let sum = total(part, index);
  if (index == 0) { sums[p.place + row] = sum; }
`,
  ['length', 'place'],
);

const NUMBERS = ['gradientScale', 'gain1', 'gain2', 'decay', 'stepSize', 'vScale', 'epsilon'] as const;

/** Computes what the loop of worker/optimizer.ts does, where each step is explained. */
const ADAMW = elementwise(
  'AdamW',
  ['gradient', 'out value', 'out m', 'out v'],
  `
  ${NUMBERS.map((name) => `let ${name} = bitcast<f32>(p.${name});`).join('\n  ')}
  let g = gradient[i] * gradientScale;
  let newM = normal(m[i] + gain1 * (g - m[i]));
  let newV = normal(v[i] + gain2 * (g * g - v[i]));
  m[i] = newM;
  v[i] = newV;
  value[i] -= decay * value[i] + stepSize * newM / (sqrt(newV) * vScale + epsilon);
`,
  NUMBERS,
);

/** Updates of parameters that are in a device's memory. */
export function deviceUpdates(memory: DeviceMemory): DeviceUpdates {
  const { device } = memory;
  return {
    squaredNorm(tensors) {
      const numSums = tensors.map(({ size }) => Math.ceil(size / CHUNK));
      const length = numSums.reduce((sum, count) => sum + count, 0);
      return memory.borrow(length, (sums) => {
        let place = 0;
        tensors.forEach((tensor, i) => {
          const rows = numSums[i]!;
          device.run(SQUARES, [memory.bufferOf(tensor), sums], [rows, CHUNK, tensor.size, place], rows);
          place += rows;
        });
        return device.read(sums, length).reduce((total, sum) => total + sum, 0);
      });
    },
    adamW: (state, numbers) => adamW(memory, state, numbers),
  };
}

function adamW(memory: DeviceMemory, { value, gradient, m, v }: AdamWState, numbers: AdamWNumbers): void {
  const changed = [value, m, v];
  const run = (ofGradient: number) => {
    const buffers = [ofGradient, ...changed.map((each) => memory.bufferOf(each))];
    const params = NUMBERS.map((name) => bitsOf(numbers[name]));
    runElementwise(memory, ADAMW, buffers, value.size, params);
  };
  if (gradient !== null) run(memory.bufferOf(gradient));
  else
    memory.borrow(value.size, (zeros) => {
      memory.device.clear(zeros);
      run(zeros);
    });
  for (const each of changed) memory.hasChanged(each);
}
