import { canRun, toCell, type IKernelLanguage } from '../codecell';

const IPYTHON: IKernelLanguage = { name: 'python', magics: true };
const PYTHON: IKernelLanguage = { name: 'python', magics: false };
const R: IKernelLanguage = { name: 'R', magics: false };
const CPP: IKernelLanguage = { name: 'C++', magics: false };

describe('a code block in a notebook', () => {
  it.each([
    ['', IPYTHON, 'x'],
    ['python', IPYTHON, 'x'],
    ['Python3', IPYTHON, 'x'],
    ['{python}', IPYTHON, 'x'],
    ['py', PYTHON, 'x'],
    ['r', R, 'x'],
    ['cpp', CPP, 'x'],
    ['bash', IPYTHON, '%%bash\nx'],
    ['sh', IPYTHON, '%%bash\nx'],
    ['html', IPYTHON, '%%html\nx'],
    ['latex', IPYTHON, '%%latex\nx'],
    ['tex', IPYTHON, '%%latex\nx']
  ])('%p runs, with its magic first', (language, kernel, source) => {
    expect(canRun(language, kernel)).toBe(true);
    expect(toCell('x', language, kernel)).toEqual({ source, kind: 'code' });
  });

  it.each([
    ['bash', PYTHON],
    ['bash', R],
    ['python', R],
    ['r', IPYTHON],
    ['sql', IPYTHON],
    ['json', IPYTHON],
    ['yaml', IPYTHON],
    ['diff', IPYTHON],
    ['text', IPYTHON],
    ['output', IPYTHON],
    ['javascript', IPYTHON],
    ['constructor', IPYTHON]
  ])('%p is put in as it is, and not run', (language, kernel) => {
    expect(canRun(language, kernel)).toBe(false);
    expect(toCell('x', language, kernel)).toEqual({
      source: 'x',
      kind: 'code'
    });
  });

  it('keeps a magic that is there', () => {
    const source = '%%bash -e\nls';
    expect(toCell(source, 'bash', IPYTHON).source).toBe(source);
  });

  it('is Markdown where Markdown draws it', () => {
    expect(canRun('mermaid', IPYTHON)).toBe(false);
    expect(toCell('graph TD', 'mermaid', IPYTHON)).toEqual({
      source: '```mermaid\ngraph TD\n```',
      kind: 'markdown'
    });
    expect(toCell('# Title', 'markdown', IPYTHON)).toEqual({
      source: '# Title',
      kind: 'markdown'
    });
  });
});
