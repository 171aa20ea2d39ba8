import { expect, it } from 'vitest';
import { findThreads, oneDnnPath } from '../../../../src/ops/kernels/choose-kernels.js';
import { ALGORITHM, ARGUMENT, create, loadOneDnn } from '../../../../src/ops/kernels/onednn/library.js';
import { keyOf } from '../../../../src/ops/kernels/onednn/operand.js';
import { PrimitiveCache } from '../../../../src/ops/kernels/onednn/primitive-cache.js';
import { withOneDnn } from '../../../with-onednn.js';

withOneDnn('the cache of primitives', () => {
  it('compiles once for each shape, and again for one that had to go', () => {
    const library = loadOneDnn(oneDnnPath()!, findThreads());
    const cache = new PrimitiveCache(library, 2);
    const compiled: number[] = [];
    const double = (length: number) => {
      const x = { values: Float32Array.from({ length }, (_, i) => i), dims: [length] };
      const y = { values: new Float32Array(length), dims: [length] };
      const names = [ARGUMENT.source, ARGUMENT.source1, ARGUMENT.result] as const;
      cache.run(`add ${keyOf(x)}`, names, [x, x, y], ([a, b, sum]) => {
        compiled.push(length);
        return create(library.calls, 'binary', library.engine, ALGORITHM.add, a, b, sum, null);
      });
      return [...y.values];
    };
    for (const length of [20, 30, 20, 40, 30, 20])
      expect(double(length)).toEqual(Array.from({ length }, (_, i) => 2 * i));
    expect(compiled).toEqual([20, 30, 40, 20]);
  });
});
