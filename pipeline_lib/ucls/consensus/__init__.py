"""CSPA, HGPA, MCLA, aligned vote and the choice by average NMI."""
