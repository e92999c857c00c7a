import type { ICell } from '../../wire/types';
import { boundImages, jsonToCell, MAX_IMAGES } from '../cells';
import { jsonToNotebook } from '../collect';
import { extensionOf } from '../filetypes';

function picture(id: string): ICell {
  return {
    id,
    kind: 'code',
    outputs: [{ kind: 'display', image: { mime: 'image/png', data: 'AAAA' } }]
  };
}

const withPicture = (cells: ICell[]) =>
  cells.filter(cell => cell.outputs?.[0].image).map(cell => cell.id);

describe('pictures of a notebook', () => {
  const cells = Array.from({ length: 20 }, (_, i) => picture(`c${i}`));

  it('are the last ones', () => {
    expect(withPicture(boundImages(cells))).toEqual(
      cells.slice(-MAX_IMAGES).map(cell => cell.id)
    );
  });

  it('are those of the active cell first', () => {
    expect(withPicture(boundImages(cells, 'c0'))).toContain('c0');
  });

  it('that stay behind are mentioned', () => {
    const [first] = boundImages(cells);
    expect(first.outputs).toEqual([
      { kind: 'display', text: '[picture left out: image/png, 0.0 MB]' }
    ]);
  });
});

describe('a cell of a file', () => {
  it('is read with source in lines, count and outputs', () => {
    const cell = jsonToCell(
      {
        cell_type: 'code',
        metadata: {},
        source: ['a = 1\n', 'a'],
        execution_count: 4,
        outputs: [{ output_type: 'stream', name: 'stdout', text: ['x', 'y'] }]
      },
      2,
      1000
    );
    expect(cell).toEqual({
      id: 'cell-2',
      kind: 'code',
      source: 'a = 1\na',
      execution_count: 4,
      outputs: [{ kind: 'stdout', text: 'xy' }]
    });
  });

  it('of an unknown type is raw', () => {
    expect(
      jsonToCell({ cell_type: 'odd', metadata: {}, source: '' }, 0, 10).kind
    ).toBe('raw');
  });
});

describe('a notebook file', () => {
  it('tells its language', () => {
    const part = jsonToNotebook(
      {
        nbformat: 4,
        nbformat_minor: 5,
        metadata: { language_info: { name: 'R' } },
        cells: [{ cell_type: 'markdown', metadata: {}, source: '# x', id: 'm' }]
      },
      'a.ipynb'
    );
    expect(part).toEqual({
      type: 'notebook',
      path: 'a.ipynb',
      language: 'R',
      cells: [{ id: 'm', kind: 'markdown', source: '# x' }]
    });
  });
});

describe('the extension of a new file', () => {
  it.each([
    ['python', '.py'],
    ['R', '.R'],
    ['C++', '.cpp'],
    ['', '.txt'],
    ['klingon', '.txt']
  ])('of %s is %s', (language, extension) => {
    expect(extensionOf(language)).toBe(extension);
  });
});
