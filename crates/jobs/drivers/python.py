"""Runs cells in one Python process, with state that lasts from cell to cell.

Requests come on descriptor 3, events go to descriptor 4; standard output and error are the code's.
With IPython in the image its shell transforms and runs the code; without it a plain one does.
"""

import os
import sys


def main():
    import ast
    import base64
    import builtins
    import fcntl
    import getpass
    import importlib
    import inspect
    import json
    import linecache
    import signal
    import traceback
    import types
    import warnings

    def private(descriptor):
        # Out of the way of the code's own files, and closed in every program that it starts.
        copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(descriptor)
        return copy

    requests, events = private(3), private(4)
    process = os.getpid()

    waiting = bytearray()

    def read_field():
        while (end := waiting.find(0)) < 0:
            data = os.read(requests, 1 << 16)
            if not data:
                return None
            waiting.extend(data)
        field = waiting[:end].decode("utf-8", "surrogateescape")
        del waiting[:end + 1]
        return field

    def say(line):
        data = memoryview(line.encode("utf-8", "backslashreplace"))
        while data:
            data = data[os.write(events, data):]

    def emit(kind, **fields):
        if mode["rich"]:
            say("display " + json.dumps({"kind": kind, **fields}, default=repr) + "\n")

    ours = main.__code__.co_filename
    stdin = {"stream": sys.stdin}
    mode = {"rich": False, "quiet": False}
    main_module = types.ModuleType("__main__")
    main_module.__builtins__ = builtins
    sys.modules["__main__"] = main_module
    namespace = main_module.__dict__
    sys.argv = [""]
    if "" not in sys.path:
        sys.path.insert(0, "")
    # Threads and children print while a cell runs: each line is out when it is whole.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.stderr.reconfigure(errors="backslashreplace")
    # Figures are collected after a cell; `show` has nothing to do and nothing to warn of.
    os.environ.setdefault("MPLBACKEND", "agg")
    warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown.*")

    # --- Values as MIME bundles -------------------------------------------------------------

    MIME_METHODS = (
        ("_repr_html_", "text/html"),
        ("_repr_markdown_", "text/markdown"),
        ("_repr_svg_", "image/svg+xml"),
        ("_repr_png_", "image/png"),
        ("_repr_jpeg_", "image/jpeg"),
        ("_repr_latex_", "text/latex"),
        ("_repr_json_", "application/json"),
        ("_repr_pdf_", "application/pdf"),
    )

    def as_text(data):
        return base64.b64encode(data).decode("ascii") if isinstance(data, bytes) else data

    def figure_png(figure):
        import io

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return as_text(buffer.getvalue())

    def is_figure(value):
        figure = sys.modules.get("matplotlib.figure")
        return figure is not None and isinstance(value, figure.Figure)

    def table_of(value):
        """A data frame's head as rows, for who does not want to take HTML apart."""
        pandas = sys.modules.get("pandas")
        if pandas is None or not isinstance(value, pandas.DataFrame):
            return None
        table = json.loads(value.head(1000).to_json(orient="split", date_format="iso"))
        table["rows"] = len(value)
        return table

    def bundle_of(value):
        data, metadata = {"text/plain": repr(value)}, {}
        whole = getattr(type(value), "_repr_mimebundle_", None)
        if whole is not None:
            try:
                given = whole(value)
                given, metadata = given if isinstance(given, tuple) else (given, {})
                data.update({kind: as_text(part) for kind, part in (given or {}).items()})
                return data, metadata
            except Exception:
                pass
        for method, kind in MIME_METHODS:
            give = getattr(type(value), method, None)
            if give is None:
                continue
            try:
                part = give(value)
                if isinstance(part, tuple):
                    part, metadata[kind] = part
                if part is not None:
                    data[kind] = as_text(part)
            except Exception:
                # A form that fails is one that the value does not have.
                pass
        return enrich(value, data), metadata

    def enrich(value, data):
        try:
            if is_figure(value):
                data["image/png"] = figure_png(value)
            table = table_of(value)
            if table is not None:
                data["application/vnd.pinfold.table+json"] = table
        except Exception:
            pass
        return data

    def display(*values, **_options):
        for value in values:
            if mode["rich"]:
                data, metadata = bundle_of(value)
                emit("display", data=data, metadata=metadata)
            else:
                print(repr(value))

    def display_figures():
        """What was drawn and not shown. Only where somebody wants to see it."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None or not mode["rich"]:
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            data = {"text/plain": repr(figure), "image/png": figure_png(figure)}
            emit("display", data=data, metadata={})
            pyplot.close(figure)

    # --- Standard input ---------------------------------------------------------------------

    def asking(hidden, otherwise):
        """A way to ask for a line that tells of it to who follows the events."""

        def ask(prompt="", *rest, **more):
            if sys.stdin is not stdin["stream"]:
                # The code reads from something of its own.
                return otherwise(prompt, *rest, **more)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            question = {"kind": "stdin", "prompt": str(prompt)[:4096], "hidden": hidden}
            say("display " + json.dumps(question) + "\n")
            line = sys.stdin.readline()
            if not line:
                raise EOFError("EOF when reading a line")
            return line[:-1] if line.endswith("\n") else line

        return ask

    asks = asking(False, builtins.input)
    asks_hidden = asking(True, getpass.getpass)
    reads, reads_hidden = builtins.input, getpass.getpass

    def listen(wish):
        """A new stream for who is given something: nothing is left in it of an earlier cell."""
        if wish != "none" and sys.stdin is stdin["stream"]:
            sys.stdin = stdin["stream"] = open(0, errors="replace", closefd=False)
        if builtins.input in (asks, reads):
            builtins.input = asks if wish == "open" else reads
        if getpass.getpass in (asks_hidden, reads_hidden):
            getpass.getpass = asks_hidden if wish == "open" else reads_hidden

    # --- Running code -----------------------------------------------------------------------

    loop = None

    def run_code(code):
        nonlocal loop
        if not code.co_flags & inspect.CO_COROUTINE:
            return eval(code, namespace)
        import asyncio

        if loop is None:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        return loop.run_until_complete(eval(code, namespace))

    def run_plain(source, name):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        last = None
        if mode["rich"] and tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        run_code(compile(tree, name, "exec", flags, dont_inherit=True))
        if last is not None:
            value = run_code(compile(last, name, "eval", flags, dont_inherit=True))
            if value is not None:
                namespace["_"] = value
                data, metadata = bundle_of(value)
                emit("result", data=data, metadata=metadata)

    def ipython():
        """IPython's shell for its syntax, its magics and its forms of values, and a way to run code in
        it; nothing where IPython is not there. How errors are told stays ours."""
        try:
            from IPython.core.compilerop import CachingCompiler
            from IPython.core.displayhook import DisplayHook
            from IPython.core.displaypub import DisplayPublisher
            from IPython.core.interactiveshell import InteractiveShell
            from traitlets import Type
            from traitlets.config import Config
        except ImportError:
            return None

        def texts(data):
            return {kind: as_text(part) for kind, part in data.items()}

        class Compiler(CachingCompiler):
            def get_code_name(self, _raw, _code, _number):
                return f"<cell {number}>"

        class Hook(DisplayHook):
            def __call__(self, result=None):
                if mode["rich"] and result is not None and not mode["quiet"]:
                    namespace["_"] = result
                    data, metadata = self.compute_format_data(result)
                    emit("result", data=enrich(result, texts(data)), metadata=metadata)

        class Publisher(DisplayPublisher):
            def publish(self, data, metadata=None, **_more):
                if mode["rich"]:
                    emit("display", data=texts(data), metadata=metadata or {})
                elif "text/plain" in data:
                    print(data["text/plain"])

            def clear_output(self, wait=False):
                """What was shown is with whoever reads it."""

        class Shell(InteractiveShell):
            compiler_class = Type(Compiler)
            displayhook_class = Type(Hook)
            display_pub_class = Type(Publisher)
            # A terminal of their own would be nobody's here.
            system = InteractiveShell.system_raw

            def showtraceback(self, *_args, **_more):
                """The error comes with the cell's result."""

            showsyntaxerror = showindentationerror = showtraceback

        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.banner1 = ""
        shell = Shell.instance(config=config, user_module=main_module)
        warnings.filterwarnings("ignore", message="To exit: use.*")

        def run_in_shell(source, _name):
            # As in notebooks: a value with a semicolon behind it is not shown.
            mode["quiet"] = source.rstrip().endswith(";")
            ran = shell.run_cell(source, store_history=False)
            error = ran.error_before_exec or ran.error_in_exec
            if error is not None:
                raise error

        return run_in_shell

    def without_our_frames(trace):
        """From the first frame of the code on. One that never reached it has nothing to show."""
        own = trace
        while own is not None and not own.tb_frame.f_code.co_filename.startswith("<cell "):
            own = own.tb_next
        if own is None and trace is not None and trace.tb_frame.f_code.co_filename == ours:
            return None
        frame = own
        while frame is not None:
            if frame.tb_next is not None and frame.tb_next.tb_frame.f_code is asks.__code__:
                frame.tb_next = None
            frame = frame.tb_next
        return own

    def report(error):
        error.__traceback__ = without_our_frames(error.__traceback__)
        try:
            lines = traceback.format_exception(type(error), error, error.__traceback__)
        except Exception:
            lines = [type(error).__name__ + ": its message could not be made\n"]
        sys.stderr.write("".join(lines))
        try:
            value = str(error)
        except Exception:
            value = ""
        emit("error", name=type(error).__name__, value=value, traceback=lines)

    def exit_code_of(error):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        print(error.code, file=sys.stderr)
        return 1

    def run(source, name):
        lines = [line + "\n" for line in source.splitlines()]
        linecache.cache[name] = (len(source), None, lines, name)
        try:
            signal.signal(signal.SIGINT, handler["interrupt"])
            execute(source, name)
            display_figures()
            return 0
        except SystemExit as error:
            return exit_code_of(error)
        except BaseException as error:
            signal.signal(signal.SIGINT, ignore)
            report(error)
            return 1
        finally:
            current = signal.getsignal(signal.SIGINT)
            if current is not ignore:
                handler["interrupt"] = current
            signal.signal(signal.SIGINT, ignore)

    def ignore(_signal, _frame):
        """Between cells there is nothing to interrupt."""

    def leave(code=None):
        raise SystemExit(code)

    handler = {"interrupt": signal.default_int_handler}
    signal.signal(signal.SIGINT, ignore)
    number = 0
    execute = ipython()
    if execute is None:
        execute = run_plain
        builtins.display = display
    # The interpreter's own would close standard input on their way.
    namespace["exit"] = namespace["quit"] = leave

    while True:
        fields = [read_field() for _ in range(3)]
        if None in fields:
            return
        word, first, second = fields
        if word == "env":
            os.environ[first] = second
            if first == "PYTHONPATH":
                # Modules were installed there since this process began, or since it last looked.
                for folder in reversed(second.split(":")):
                    if folder and folder not in sys.path:
                        sys.path.insert(1, folder)
                importlib.invalidate_caches()
        elif word == "cell":
            identity, wish, _dialect, given = first.split(" ")
            mode["rich"] = wish == "rich"
            listen(given)
            number += 1
            try:
                code = run(second, f"<cell {number}>")
            except KeyboardInterrupt:
                # An interrupt that came when the code had just ended.
                signal.signal(signal.SIGINT, ignore)
                code = 1
            for stream in {sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__}:
                try:
                    stream.flush()
                except Exception:
                    # The code closed it; what it wrote is out.
                    pass
            if os.getpid() != process:
                # A fork of the code's that came back here is not the kernel.
                os._exit(code)
            say(f"done {identity} {code}\n")


main()
