/** The answer's Markdown, drawn as the panel draws it; the bars of its code blocks act on the cell around the card. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useRef } from 'react';

import { toCell, type IKernelLanguage } from '../chat/codecell';
import { MarkdownView } from '../components/markdown/view';
import type { IMarkdownKit } from '../components/markdown/view';
import { actOnCode } from '../components/transcript/codeactions';
import type { ICardHost } from './host';

/** What asked with `%ai` knows cell magics. */
const IPYTHON: IKernelLanguage = { name: 'python', magics: true };

export interface IProseProps {
  trans: TranslationBundle;
  text: string;
  open: boolean;
  kit: IMarkdownKit;
  host: () => ICardHost | null;
  hasHost: boolean;
}

export function Prose(props: IProseProps): JSX.Element {
  const { text, open, kit } = props;
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<MarkdownView | null>(null);
  useEffect(() => {
    if (!place.current) {
      return;
    }
    const made = new MarkdownView(place.current, kit);
    view.current = made;
    return () => made.dispose();
  }, [kit]);
  useEffect(() => view.current?.update(text, open), [text, open, kit]);
  // Buttons without a meaning here are hidden by card.css.
  const target = {
    insertBelow: (code: string, language: string) => {
      const { source, kind } = toCell(code, language, IPYTHON);
      props.host()?.insertBelow(source, kind);
    },
    replace: (code: string, language: string) =>
      props.host()?.replace(toCell(code, language, IPYTHON).source)
  };
  return (
    <div
      ref={place}
      className={`jp-Cellar-card-prose jp-Cellar-markdown jp-RenderedHTMLCommon${
        props.hasHost ? ' jp-mod-inCell' : ''
      }`}
      onClick={event => actOnCode(event, target, props.trans)}
    />
  );
}
