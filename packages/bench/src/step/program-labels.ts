import type { Program } from './step-run.js';

export const PROGRAM_LABELS: Readonly<Record<Program, string>> = {
  own: 'locmoe',
  'own-bfloat16': 'locmoe, bfloat16',
  peer: 'PyTorch + Gloo',
  'peer-bfloat16': 'PyTorch + Gloo, bfloat16 autocast',
  'peer-compiled': 'PyTorch + Gloo, torch.compile',
  'locmoe-plus': 'locmoe (locmoe-plus)',
};
