/** What can be asked from the palette, toolbars and menus; keys are in schema/commands.json. */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { ToolbarButton } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import { IChat } from '../chat/tokens';
import { CELL_QUESTIONS, type CellQuestion } from '../notebook/actions';
import { askIcon } from '../notebook/icons';
import { INotebookRoom } from '../notebook/tokens';

/** The panel's own element: is the focus in the chat? */
const PANEL = '.jp-Cellar-panel';

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@cellar/lab:commands',
  description: 'Commands, menus, toolbars and shortcuts.',
  autoStart: true,
  requires: [IChat, INotebookRoom],
  optional: [
    ICommandPalette,
    IFileBrowserFactory,
    IToolbarWidgetRegistry,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    chat: IChat,
    room: INotebookRoom,
    palette: ICommandPalette | null,
    browsers: IFileBrowserFactory | null,
    toolbars: IToolbarWidgetRegistry | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('cellar');
    const { commands } = app;
    addChatCommands(app, chat, room, trans);
    addQuestions(commands, room, trans);
    addFileCommand(commands, browsers, room, trans);
    addToPalette(palette, trans);
    toolbars?.addFactory<Cell>('Cell', 'cellar-cell', () =>
      cellButton(commands, trans)
    );
  }
};

/** `open-chat` is the panel's own. */
const CHAT_COMMANDS = [
  'cellar:open-chat',
  'cellar:toggle-focus',
  'cellar:new-conversation',
  'cellar:stop'
];

function addChatCommands(
  app: JupyterFrontEnd,
  chat: IChat,
  room: INotebookRoom,
  trans: TranslationBundle
): void {
  app.commands.addCommand('cellar:toggle-focus', {
    label: trans.__('Switch Between Chat and Document'),
    caption: trans.__('Open the chat, or go back to the document from it'),
    execute: () => {
      const document = room.documents.current();
      if (window.document.activeElement?.closest(PANEL) && document) {
        app.shell.activateById(document.widget.id);
        document.widget.content.activate();
      } else {
        chat.open();
      }
    },
    describedBy: NO_ARGUMENTS
  });
  app.commands.addCommand('cellar:new-conversation', {
    label: trans.__('New Conversation'),
    caption: trans.__('Begin a new conversation'),
    execute: () => chat.newConversation(),
    describedBy: NO_ARGUMENTS
  });
  app.commands.addCommand('cellar:stop', {
    label: trans.__('Stop the Answer'),
    caption: trans.__('Stop what is running in the conversation shown'),
    execute: () => chat.stop(),
    describedBy: NO_ARGUMENTS
  });
}

const NO_ARGUMENTS = {
  args: { type: 'object', properties: {}, additionalProperties: true }
} as const;

function addQuestions(
  commands: CommandRegistry,
  room: INotebookRoom,
  trans: TranslationBundle
): void {
  const words: Record<CellQuestion, [string, string]> = {
    explain: [trans.__('Explain'), trans.__('Explain Cell or Selection')],
    fix: [trans.__('Fix'), trans.__('Fix Cell or Selection')],
    document: [trans.__('Document'), trans.__('Document Cell or Selection')],
    test: [
      trans.__('Write Tests'),
      trans.__('Write Tests for Cell or Selection')
    ],
    optimize: [trans.__('Optimize'), trans.__('Optimize Cell or Selection')]
  };
  const isEnabled = (): boolean => room.actions.possible;
  for (const question of CELL_QUESTIONS) {
    const [short, long] = words[question];
    commands.addCommand(`cellar:${question}`, {
      label: args => (args['isPalette'] ? long : short),
      isEnabled,
      execute: () => room.actions.askAbout(question),
      describedBy: NO_ARGUMENTS
    });
  }
  commands.addCommand('cellar:add-to-chat', {
    label: args =>
      args['isPalette']
        ? trans.__('Add Cell or Selection to Chat')
        : trans.__('Add to Chat'),
    execute: () => room.actions.addToChat(),
    describedBy: NO_ARGUMENTS
  });
}

function addFileCommand(
  commands: CommandRegistry,
  browsers: IFileBrowserFactory | null,
  room: INotebookRoom,
  trans: TranslationBundle
): void {
  if (!browsers) {
    return;
  }
  const selection = () =>
    Array.from(browsers.tracker.currentWidget?.selectedItems() ?? []);
  commands.addCommand('cellar:add-files-to-chat', {
    label: trans.__('Add to Cellar Chat'),
    icon: askIcon,
    isVisible: () => selection().length > 0,
    execute: () =>
      room.actions.add(
        selection().map(model =>
          room.items.path(model.path, model.type === 'directory')
        )
      ),
    describedBy: NO_ARGUMENTS
  });
}

function addToPalette(
  palette: ICommandPalette | null,
  trans: TranslationBundle
): void {
  const category = trans.__('Cellar');
  const questions = CELL_QUESTIONS.map(question => `cellar:${question}`);
  for (const command of [
    ...CHAT_COMMANDS,
    'cellar:add-to-chat',
    ...questions
  ]) {
    palette?.addItem({ command, category, args: { isPalette: true } });
  }
}

/** The cell toolbar's button: a menu of what can be asked about this cell. */
function cellButton(
  commands: CommandRegistry,
  trans: TranslationBundle
): ToolbarButton {
  const button = new ToolbarButton({
    icon: askIcon,
    tooltip: trans.__('Ask Cellar about this cell'),
    onClick: () => {
      const menu = new Menu({ commands });
      CELL_QUESTIONS.forEach(question =>
        menu.addItem({ command: `cellar:${question}` })
      );
      menu.addItem({ type: 'separator' });
      menu.addItem({ command: 'cellar:add-to-chat' });
      menu.aboutToClose.connect(() => {
        // After the command, which runs once the menu is closed.
        requestAnimationFrame(() => menu.dispose());
      });
      const box = button.node.getBoundingClientRect();
      menu.open(box.left, box.bottom, { forceY: false });
    }
  });
  return button;
}
