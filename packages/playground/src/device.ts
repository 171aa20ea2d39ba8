import type { AnswerMemory } from 'locmoe/internal/ops/kernels/webgpu/answer';
import { serveDevice } from 'locmoe/internal/ops/kernels/webgpu/command-runner';
import type { DeviceCommand } from 'locmoe/internal/ops/kernels/webgpu/commands';

// The worker of the device. The first message brings the memory in which it answers, the others are commands.

addEventListener(
  'message',
  ({ data: answer }: MessageEvent<AnswerMemory>) => {
    const { opened, run } = serveDevice(Promise.resolve(navigator.gpu), answer);
    addEventListener('message', ({ data }: MessageEvent<readonly DeviceCommand[]>) => run(data));
    // The trainer hears nothing, nor can a browser open a device, while it waits for an answer; so it waits for this first.
    opened.finally(() => postMessage('opened')).catch(() => undefined);
  },
  { once: true },
);
