import { marked } from 'marked';

import { labMarkdown } from '../dialect';
import { BlockSplitter } from '../splitter';
import { CORPUS } from './corpus';

function html(source: string): string {
  return (
    marked.parse(labMarkdown(source), { gfm: true, async: false }) as string
  )
    .replace(/>\s+</g, '><')
    .trim();
}

function inBlocks(source: string, step: number): string[] {
  const splitter = new BlockSplitter();
  for (let end = step; end < source.length; end += step) {
    splitter.feed(source.slice(0, end));
  }
  splitter.feed(source);
  splitter.finish();
  return splitter.blocks.map(block => block.source);
}

describe.each(Object.entries(CORPUS))('%s', (_, source) => {
  it.each([1, 5, 37, 100_000])(
    'looks the same in blocks as in one piece, fed by %d characters',
    step => {
      const blocks = inBlocks(source, step)
        .map(html)
        .join('')
        .replace(/>\s+</g, '><');
      expect(blocks).toBe(html(source));
    }
  );
});

describe('BlockSplitter', () => {
  it('freezes a paragraph when the next block begins', () => {
    const splitter = new BlockSplitter();
    splitter.feed('One.\n\nTwo goes on and on');
    expect(splitter.blocks.map(block => block.source)).toEqual(['One.\n\n']);
    expect(splitter.tail.source).toBe('Two goes on and on');
  });

  it('keeps a block the same object while text is added', () => {
    const splitter = new BlockSplitter();
    splitter.feed('One.\n\nTwo goes on and on');
    const [first] = splitter.blocks;
    splitter.feed('One.\n\nTwo goes on and on.\n\nThree is the last one');
    expect(splitter.blocks[0]).toBe(first);
  });

  it('shows an open fence as plain code with its language', () => {
    const splitter = new BlockSplitter();
    splitter.feed('See:\n\n```python title=x\nprint(1)\nprint(');
    expect(splitter.blocks).toHaveLength(1);
    expect(splitter.tail.fence).toEqual({
      language: 'python',
      code: 'print(1)\nprint('
    });
  });

  it('closes the fence with the line that ends it', () => {
    const splitter = new BlockSplitter();
    splitter.feed('```python\nprint(1)\n```\n');
    expect(splitter.blocks).toHaveLength(1);
    expect(splitter.tail.source).toBe('');
  });

  it('does not take a fence inside a list for one at the margin', () => {
    const splitter = new BlockSplitter();
    splitter.feed('- item\n\n  ```python\n  print(1)\n');
    expect(splitter.tail.fence).toBeNull();
    expect(splitter.blocks).toHaveLength(0);
  });

  it('gives a block its definition also when that comes later', () => {
    const splitter = new BlockSplitter();
    splitter.feed('Look at [the docs].\n\nMore text follows here.\n\n');
    const before = splitter.blocks[0];
    splitter.feed(
      'Look at [the docs].\n\nMore text follows here.\n\n[the docs]: https://x.example\n'
    );
    const after = splitter.blocks[0];
    expect(after).not.toBe(before);
    expect(html(after.source)).toContain('href="https://x.example"');
  });

  it('lets go of an HTML block that never ends', () => {
    const splitter = new BlockSplitter();
    splitter.feed('<div>\n\n' + 'A paragraph of text.\n\n'.repeat(2_000));
    expect(splitter.blocks.length).toBeGreaterThan(10);
  });

  it('looks at each line once: a long answer costs as much per character', () => {
    const splitter = new BlockSplitter();
    const line = 'A paragraph of some length, as models write them.\n\n';
    let text = '';
    for (let i = 0; i < 5_000; i++) {
      text += line;
      splitter.feed(text);
    }
    expect(splitter.blocks.length).toBe(4_999);
  });
});
