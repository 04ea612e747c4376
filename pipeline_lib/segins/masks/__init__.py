"""Class-agnostic pseudo-masks: ContraCAM, TokenCut and the controls (thesis 3.1.2)."""
