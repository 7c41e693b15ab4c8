"""The examples, built and run by the two commands of their READMEs."""
