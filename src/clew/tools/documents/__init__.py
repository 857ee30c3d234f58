"""Documents (PDF, DOCX, PPTX, XLSX) into their text, in a process of their own.

A document is a program for its reader, and its author may be anybody: it can ask for all memory,
for ever, or make a native parser fall over. So it is never read in the process that serves. What
runs here under limits is `child`; `reading` starts it, and it alone belongs to the server.
"""
