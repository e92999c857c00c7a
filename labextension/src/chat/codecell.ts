/**
 * What a code block of an answer becomes in a notebook: code of the kernel's own
 * language as it is; some others behind the cell magic with which an IPython kernel
 * runs them. Pure.
 */

export interface IKernelLanguage {
  /** as the kernel names it: "python", "R", "julia" */
  name: string;
  /** it knows IPython's cell magics */
  magics: boolean;
}

export interface ICellCode {
  source: string;
  kind: 'code' | 'markdown';
}

/** Names that models give to one language in their fences. */
const ALIASES: Record<string, string> = {
  'c++': 'cpp',
  cxx: 'cpp',
  golang: 'go',
  ipython: 'python',
  ipython3: 'python',
  jl: 'julia',
  js: 'javascript',
  py: 'python',
  py3: 'python',
  pycon: 'python',
  python3: 'python',
  rb: 'ruby',
  rs: 'rust',
  sh: 'bash',
  shell: 'bash',
  tex: 'latex',
  ts: 'typescript'
};

const MAGICS: Record<string, string> = {
  bash: '%%bash',
  html: '%%html',
  latex: '%%latex'
};

function plain(language: string): string {
  const name = language
    .trim()
    .toLowerCase()
    .replace(/^\{?\.?|\}$/g, '');
  return Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
}

/** A block without a language is taken for one of the kernel's. */
function isKernels(language: string, kernel: IKernelLanguage): boolean {
  const name = plain(language);
  return name === '' || name === plain(kernel.name);
}

/** Running it makes sense: a table, a query or what a program printed would be an error. */
export function canRun(language: string, kernel: IKernelLanguage): boolean {
  return (
    isKernels(language, kernel) ||
    (kernel.magics && Object.hasOwn(MAGICS, plain(language)))
  );
}

export function toCell(
  code: string,
  language: string,
  kernel: IKernelLanguage
): ICellCode {
  const name = plain(language);
  if (isKernels(language, kernel) || code.startsWith('%%')) {
    return { source: code, kind: 'code' };
  }
  if (name === 'markdown' || name === 'md') {
    return { source: code, kind: 'markdown' };
  }
  if (name === 'mermaid') {
    return { source: `\`\`\`mermaid\n${code}\n\`\`\``, kind: 'markdown' };
  }
  const magic =
    kernel.magics && Object.hasOwn(MAGICS, name) ? MAGICS[name] : '';
  return { source: magic ? `${magic}\n${code}` : code, kind: 'code' };
}
